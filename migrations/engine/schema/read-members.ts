const escapes: Readonly<Record<string, string>> = { '0': '\0', n: '\n', r: '\r' };

/** The members of a type such as `enum('a','it''s')` or `set('x\\y')`, as SHOW COLUMNS writes it. */
export const readMembers = (fullType: string): string[] => {
  const list = fullType.slice(fullType.indexOf('(') + 1, fullType.lastIndexOf(')'));
  return [...list.matchAll(/'((?:[^'\\]|''|\\.)*)'/gs)].map(([, quoted = '']) =>
    quoted.replace(/''|\\(.)/gs, (found, escaped?: string) =>
      found === "''" ? "'" : (escapes[escaped ?? ''] ?? escaped ?? ''),
    ),
  );
};
