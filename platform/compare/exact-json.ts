/** A number as it was written, where a double would not hold it: `JSON.stringify` writes it back as it was. */
export type ExactNumber = { readonly rawJSON: string };

// TypeScript's library does not know these yet (ECMAScript, "JSON.parse source text access").
type SourceAwareJson = {
  parse(text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
  rawJSON(text: string): ExactNumber;
  isRawJSON(value: unknown): value is ExactNumber;
};
const json = JSON as unknown as SourceAwareJson;

export const isExactNumber = (value: unknown): value is ExactNumber => json.isRawJSON(value);

const longNumber = /\d[\d.]{15}|\d[eE][+-]?\d/;

/** Parses JSON without losing digits: numbers that a double would round are kept as written. undefined: not JSON. */
export const parseExactJson = (text: string): unknown => {
  try {
    if (!longNumber.test(text)) return JSON.parse(text);
    return json.parse(text, (_key, value, { source }) =>
      typeof value === 'number' && source !== undefined && decimalOf(source) !== decimalOf(String(value))
        ? json.rawJSON(source)
        : value,
    );
  } catch {
    return undefined;
  }
};

const decimalForm = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,9}))?$/;

/** A decimal number's one spelling, `digits e exponent` without needless zeros; null where the text is none. */
export const decimalOf = (text: string): string | null => {
  const match = decimalForm.exec(text.trim());
  if (match === null) return null;
  const [, sign, whole = '', fraction = '', exponent = '0'] = match;
  if (whole === '' && fraction === '') return null;
  const digits = `${whole}${fraction}`.replace(/^0+/, '');
  if (digits === '') return '0';
  const trimmed = digits.replace(/0+$/, '');
  const power = Number(exponent) - fraction.length + (digits.length - trimmed.length);
  return `${sign === '-' ? '-' : ''}${trimmed}e${power}`;
};

/** Whether brackets nest deeper than `depth`, without parsing. */
export const nestsDeeperThan = (text: string, depth: number): boolean => {
  let open = 0;
  let inString = false;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (inString) {
      if (code === 0x5c) at += 1;
      else if (code === 0x22) inString = false;
    } else if (code === 0x22) {
      inString = true;
    } else if (code === 0x5b || code === 0x7b) {
      open += 1;
      if (open > depth) return true;
    } else if (code === 0x5d || code === 0x7d) {
      open -= 1;
    }
  }
  return false;
};
