export function ensureInstalled(
  root: string,
  options?: { command?: string[]; say?: (line: string) => void; waitMs?: number },
): Promise<'present' | 'installed'>;
export function isInstalled(root: string): boolean;
export function agrees(lockFile: { packages: object }, record: { packages: object }): boolean;
