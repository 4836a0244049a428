export type JestGlobals = Omit<typeof import('@jest/globals'), 'jest'>;

/** What Jest has given the test file that runs now: its test functions, and the mocker that `jest.fn` is of. */
type Given = { globals: JestGlobals; moduleMocker: object };

let now: Given | undefined;

export function give(given: Given): void {
  now = given;
}

export function given(): Given {
  if (now === undefined) throw new Error('@jest/globals is for test files that Jest runs');
  return now;
}
