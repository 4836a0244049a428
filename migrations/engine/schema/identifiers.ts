/** A name that no engine accepts, or that only one of them does. */
export class IdentifierError extends Error {
  override name = 'IdentifierError';
}

/** Names of tables, columns and triggers have at most so many characters, on both engines. */
export const maxNameChars = 64;

/**
 * A name as it stands in SQL, whatever the session's SQL mode is: in backquotes, its own doubled.
 * @throws IdentifierError for what cannot be a name: nothing, more than 64 characters, NUL, a trailing space,
 * characters beyond U+FFFF.
 */
export const quoteName = (name: string): string => {
  const found = JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name);
  if (name === '' || name.length > maxNameChars) {
    throw new IdentifierError(`a name: expected 1 to ${maxNameChars} characters, found ${name.length}: ${found}`);
  }
  if (name.includes('\0') || name.endsWith(' ') || /[\u{10000}-\u{10ffff}]/u.test(name)) {
    throw new IdentifierError(`a name: expected no NUL, trailing space or character beyond U+FFFF, found ${found}`);
  }
  return `\`${name.replaceAll('`', '``')}\``;
};

/** `database`.`table`, quoted. */
export const quoteTable = ({ database, name }: { database: string; name: string }): string =>
  `${quoteName(database)}.${quoteName(name)}`;

/** Text as an SQL expression that means the same whatever the session's SQL mode and character set are. */
export const quoteText = (text: string): string =>
  // Only what no mode reads in another way stands as it is. No introducer: the server would keep the text without it.
  /^[\x20-\x26\x28-\x5b\x5d-\x7e]*$/.test(text)
    ? `'${text}'`
    : `CONVERT(x'${Buffer.from(text, 'utf8').toString('hex')}' USING utf8mb4)`;
