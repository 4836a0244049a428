/** One command of a page, and the lines that the page says it prints. */
export type PageCommand = {
  /** Where it stands in the page, from 1. */
  line: number;
  command: string;
  /** `…` stands for anything within a line; a line of nothing but `…` for any number of lines. */
  expected: string[];
};

/** How a block of commands is run. */
export type BlockMode =
  | { kind: 'once' }
  /** The reader looks again until it shows what the page says; the commands must not change anything. */
  | { kind: 'until-it-shows' }
  /** Run when all pages are through. */
  | { kind: 'at-the-end'; reason: string }
  | { kind: 'not-run'; reason: string };

/** What a page has its reader do, in order. */
export type PageStep =
  | { kind: 'commands'; line: number; mode: BlockMode; commands: PageCommand[] }
  | { kind: 'file'; line: number; path: string; text: string };

/** A page that cannot be read as steps; the message names the page and the line. */
export class PageError extends Error {
  override name = 'PageError';
}

type Directive = { line: number; words: string };

const fence = /^(`{3,})\s*(\S*)/;
const comment = /^<!--\s*(.*?)\s*-->$/;
const directiveWords = /^(not run|at the end|until it shows|file)\b/;

/**
 * Reads the steps out of a page: blocks fenced as `console`, and blocks behind a comment `file: path`. A comment directly
 * before a block says how it is run: `not run: why`, `at the end: why`, `until it shows`.
 * @throws PageError
 */
export function readSteps(markdown: string, page: string): PageStep[] {
  const lines = markdown.split('\n');
  const steps: PageStep[] = [];
  let directive: Directive | null = null;
  const refuse = (line: number, message: string): never => {
    throw new PageError(`${page}:${line}: ${message}`);
  };

  for (let at = 0; at < lines.length; at += 1) {
    const text = lines[at]!;
    const words = comment.exec(text)?.[1];
    if (words !== undefined && directiveWords.test(words)) {
      directive = { line: at + 1, words };
      continue;
    }
    const [, ticks, language] = fence.exec(text) ?? [];
    if (ticks === undefined) {
      if (directive !== null) refuse(directive.line, `expected a fenced block directly after "${directive.words}"`);
      continue;
    }
    const end = lines.indexOf(ticks, at + 1);
    if (end === -1) refuse(at + 1, 'the block is not closed');
    const content = lines.slice(at + 1, end);
    const path = directive === null ? undefined : /^file:\s*(\S+)$/.exec(directive.words)?.[1];
    if (path !== undefined) {
      steps.push({ kind: 'file', line: at + 1, path, text: `${content.join('\n')}\n` });
    } else if (language === 'console') {
      const commands = readCommands(content, at + 2, (line, message) => refuse(line, message));
      steps.push({
        kind: 'commands',
        line: at + 1,
        mode: readMode(directive, (line, message) => refuse(line, message)),
        commands,
      });
    } else if (directive !== null) {
      refuse(directive.line, `"${directive.words}" expects a block fenced as console`);
    }
    directive = null;
    at = end;
  }
  return steps;
}

function readMode(directive: Directive | null, refuse: (line: number, message: string) => never): BlockMode {
  if (directive === null) return { kind: 'once' };
  const [, what, reason = ''] = /^(not run|at the end|until it shows)(?::\s*(.*))?$/.exec(directive.words) ?? [];
  if (what === 'until it shows') return { kind: 'until-it-shows' };
  if (reason === '') return refuse(directive.line, `expected a reason, as in "${what}: reason"`);
  return what === 'at the end' ? { kind: 'at-the-end', reason } : { kind: 'not-run', reason };
}

/** `$ ` begins a command, `> ` continues it, everything else is what it prints. */
function readCommands(
  content: readonly string[],
  firstLine: number,
  refuse: (line: number, message: string) => never,
): PageCommand[] {
  const commands: PageCommand[] = [];
  content.forEach((text, index) => {
    const line = firstLine + index;
    const last = commands.at(-1);
    if (text.startsWith('$ ')) commands.push({ line, command: text.slice(2), expected: [] });
    else if (last === undefined) refuse(line, `expected "$ " and a command, found "${text}"`);
    else if (text.startsWith('> ') && last!.expected.length === 0) last!.command += `\n${text.slice(2)}`;
    else last!.expected.push(text);
  });
  return commands;
}
