import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { repositoryRoot } from '@strangler/stack/home/paths.ts';

/** A relative link of a page: to a path in the repository, and to a heading in it if `anchor` is not empty. */
export type PageLink = { page: string; line: number; path: string; anchor: string };

/** The relative links of a page; fenced blocks hold none. */
export function linksOf(page: string): PageLink[] {
  const links: PageLink[] = [];
  let fenced = false;
  read(page)
    .split('\n')
    .forEach((text, index) => {
      if (text.startsWith('```')) fenced = !fenced;
      if (fenced) return;
      for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^[a-z][a-z+.-]*:/.test(target!)) continue;
        const [path = '', anchor = ''] = target!.split('#');
        const whole = path === '' ? page : normalize(join(dirname(page), path));
        links.push({ page, line: index + 1, path: whole, anchor });
      }
    });
  return links;
}

/** What is wrong with a link, or null. */
export function faultOf({ page, line, path, anchor }: PageLink): string | null {
  if (path.startsWith('..')) return `${page}:${line}: ${path} is outside the repository`;
  if (!existsSync(join(repositoryRoot, path))) return `${page}:${line}: ${path} is not there`;
  if (anchor === '' || headingsOf(path).has(anchor)) return null;
  return `${page}:${line}: ${path} has no heading #${anchor}`;
}

/** The pages that a reader can come to from one page by following links, itself included. */
export function reachableFrom(start: string): Set<string> {
  const seen = new Set([start]);
  for (const page of seen) {
    for (const { path } of linksOf(page)) if (path.endsWith('.md')) seen.add(path);
  }
  return seen;
}

/** Anchors as GitHub makes them of headings. */
function headingsOf(page: string): Set<string> {
  const anchors = [...read(page).matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replaceAll(/[^\p{Letter}\p{Number}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );
  return new Set(anchors);
}

function read(page: string): string {
  return readFileSync(join(repositoryRoot, page), 'utf8');
}
