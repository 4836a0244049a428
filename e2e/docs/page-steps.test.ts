import { expect, test } from '@jest/globals';
import { readSteps } from './page-steps.ts';
import { allMarkdown, pagesInOrder, readPage } from './pages.ts';

const block = (...lines: string[]): string => ['```console', ...lines, '```'].join('\n');

test('a block is commands and what each of them prints', () => {
  const [step] = readSteps(
    ['words', block('$ one', 'first', '', 'third', '$ two \\', '> more'), 'words'].join('\n'),
    'p',
  );
  expect(step).toEqual({
    kind: 'commands',
    line: 2,
    mode: { kind: 'once' },
    commands: [
      { line: 3, command: 'one', expected: ['first', '', 'third'] },
      { line: 7, command: 'two \\\nmore', expected: [] },
    ],
  });
});

test('a comment directly before a block says how it is run, and not to run it needs a reason', () => {
  const mode = (words: string) => {
    const [step] = readSteps(`<!-- ${words} -->\n${block('$ x')}`, 'p');
    return step?.kind === 'commands' ? step.mode : null;
  };
  expect(mode('not run: it costs money')).toEqual({ kind: 'not-run', reason: 'it costs money' });
  expect(mode('at the end: others need it')).toEqual({ kind: 'at-the-end', reason: 'others need it' });
  expect(mode('until it shows')).toEqual({ kind: 'until-it-shows' });
  expect(() => mode('not run')).toThrow('p:1: expected a reason');
});

test('a block behind "file: path" is a file', () => {
  expect(readSteps('<!-- file: a/b.yaml -->\n```yaml\nx: 1\n```', 'p')).toEqual([
    { kind: 'file', line: 2, path: 'a/b.yaml', text: 'x: 1\n' },
  ]);
});

test('what cannot be read is told with its line', () => {
  expect(() => readSteps(block('output first'), 'p')).toThrow('p:2: expected "$ "');
  expect(() => readSteps('<!-- not run: why -->\nwords', 'p')).toThrow('p:1: expected a fenced block');
  expect(() => readSteps('```console\n$ x', 'p')).toThrow('p:1: the block is not closed');
});

test('the pages run in the order of the table of contents, and every page with commands is among them', () => {
  const inOrder = pagesInOrder().map(({ path }) => path);
  expect(inOrder.slice(0, 16)).toEqual([
    'README.md',
    'docs/five-minutes.md',
    'docs/step-1-proxy-in-front.md',
    'docs/step-2-extract-a-read.md',
    'docs/step-3-capture-and-copy.md',
    'docs/step-4-prove-it-equal.md',
    'docs/fuzz-the-two-sides.md',
    'docs/step-4b-compare-live.md',
    'docs/reading-a-mismatch.md',
    'docs/step-5-canary-reads.md',
    'docs/step-6-move-the-writes.md',
    'docs/going-back.md',
    'docs/step-7-finish.md',
    'docs/interrupted-cut-over.md',
    'docs/pipe-failures.md',
    'docs/failures.md',
  ]);
  const withCommands = allMarkdown().filter((path) => readPage(path).steps.length > 0);
  expect(inOrder).toEqual(expect.arrayContaining(withCommands));
});

test('few blocks are not run, and each says why', () => {
  const notRun = pagesInOrder().flatMap(({ path, steps }) =>
    steps.flatMap((step) =>
      step.kind === 'commands' && step.mode.kind === 'not-run' ? [`${path}: ${step.commands[0]?.command}`] : [],
    ),
  );
  expect(notRun.length).toBeLessThanOrEqual(6);
});
