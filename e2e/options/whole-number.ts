/** Reads an option's value, or ends the program with a line that says what was expected. */
export type ReadWholeNumber = (text: string, option: string, max?: number) => number;

/** Whole numbers from 1 on, for the options of a program of this name. */
export const wholeNumberOf =
  (program: string): ReadWholeNumber =>
  (text, option, max = Number.MAX_SAFE_INTEGER) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= 1 && value <= max) return value;
    const bound = max === Number.MAX_SAFE_INTEGER ? 'on' : `to ${max}`;
    process.stderr.write(`${program}: --${option}: expected a whole number from 1 ${bound}, found "${text}"\n`);
    process.exit(2);
  };
