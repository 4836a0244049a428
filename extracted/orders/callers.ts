/** Which services may call what here. Users come with tokens of their own. */
export const callers = {
  internal: ['operator'],
  dryRuns: ['proxy', 'operator'],
} as const;
