import { expect, test } from '@jest/globals';
import { faultOf, linksOf, reachableFrom } from './links.ts';
import { allMarkdown } from './pages.ts';

test('every relative link in a page points to something that is there', () => {
  expect(
    allMarkdown()
      .flatMap((page) => linksOf(page).map(faultOf))
      .filter((fault) => fault !== null),
  ).toEqual([]);
});

test('every page of docs is reachable from its table of contents, and the table from the front page', () => {
  const reachable = reachableFrom('docs/README.md');
  expect(allMarkdown('docs').filter((page) => !reachable.has(page))).toEqual([]);
  expect(reachableFrom('README.md')).toContain('docs/README.md');
});
