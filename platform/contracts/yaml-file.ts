import { LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';

/** One thing wrong with a YAML file: where it stands and what was expected. */
export type YamlFault = { file: string; line: number; path: string; message: string };

export type YamlResult<T> = { value: T; faults: [] } | { value: null; faults: YamlFault[] };

export type YamlFileOptions = {
  /** Named in every fault. */
  file: string;
  /** What the file is, for faults of the whole: `slice file`. */
  what: string;
  /** How an issue is told that has no message of its own in the schema; zod's own way unless told. */
  error?: (issue: z.core.$ZodRawIssue) => string;
};

/** Reads a YAML text by its schema and tells all its faults at once, each with its line. */
export const readYaml = <S extends z.ZodType>(
  schema: S,
  text: string,
  { file, what, error }: YamlFileOptions,
): YamlResult<z.infer<S>> => {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  if (document.errors.length > 0) {
    const faults = document.errors.map(({ pos, message }) => ({
      file,
      line: lines.linePos(pos[0]).line,
      path: 'YAML',
      message,
    }));
    return { value: null, faults };
  }

  const lineOf = (path: readonly PropertyKey[]): number => {
    // A missing key has no place of its own: its parent's line is the nearest one to look at.
    for (let depth = path.length; depth >= 0; depth -= 1) {
      const node = document.getIn(path.slice(0, depth), true) as { range?: [number, number, number] } | undefined;
      if (node?.range) return lines.linePos(node.range[0]).line;
    }
    return 1;
  };
  const fault = (path: readonly PropertyKey[], message: string): YamlFault => ({
    file,
    line: lineOf(path),
    path: path.join('.') || what,
    message,
  });

  const parsed = schema.safeParse(document.toJS(), error === undefined ? {} : { error });
  if (parsed.success) return { value: parsed.data, faults: [] };
  const faults = parsed.error.issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => fault([...issue.path, key], `is not an option of a ${what}`))
      : [fault(issue.path, issue.message)],
  );
  return { value: null, faults };
};
