import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { repositoryRoot } from '@strangler/stack/home/paths.ts';

const page = readFileSync(join(repositoryRoot, 'docs/messages.md'), 'utf8');
const rows = [...page.matchAll(/^\| (.+) \| \[.+\]\(\.\.\/(.+\.test\.ts)\) \| (.+) \|$/gm)];

test('docs/messages.md names a test for each claim', () => {
  expect(rows.length).toBeGreaterThanOrEqual(20);
});

test.each(rows.map(([, claim, file, title]) => [claim!, file!, title!]))(
  '%s: %s has the test',
  (_claim, file, title) => {
    const test = readFileSync(join(repositoryRoot, file), 'utf8');
    expect(test.includes(title)).toBe(true);
  },
);
