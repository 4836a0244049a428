export type LockedPackage = { version?: string; optional?: boolean; os?: string[]; cpu?: string[]; libc?: string[] };
export function missingOptional(lockFile: { packages: object }): Record<string, LockedPackage>;
export function platformOf(name: string): Pick<LockedPackage, 'os' | 'cpu' | 'libc'>;
