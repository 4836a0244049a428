/**
 * What a database answers to a write that its fence refuses: SQLSTATE 45000 with an error number of its own, which
 * neither MySQL nor MariaDB uses, and a message of at most 128 characters that begins with slice, epoch and owner.
 */
export const fenceErrno = 45045;

/** Whose tables they are: `monolith` or `service`. */
export type FenceOwner = 'monolith' | 'service';

/** Which slice's fence has refused a write, since which epoch, and who takes such writes now. */
export type FenceRefusal = {
  slice: string;
  epoch: number;
  owner: FenceOwner;
  /**
   * `closed`: the tables are another's. `pass`: the pipe's session has not presented the fence's present pass. `owned`:
   * the pipe's session brings rows to the side that owns them.
   */
  because: 'closed' | 'pass' | 'owned';
};

/** What follows the owner in the message, cut at its end where the slice's name is very long. */
export const fenceReasons: Readonly<Record<FenceRefusal['because'], string>> = {
  closed: ': closed, write to the owner or retry',
  pass: ': pass of the pipe is stale, read it anew',
  owned: ': open, takes no rows of the pipe',
};

/** The first words of every refusal. */
export const fencePrefix = 'strangler fence: ';

/** Reads a refusal from a driver's error, or from one that carries it; undefined for every other error. */
export const readFenceRefusal = (error: unknown): FenceRefusal | undefined => {
  type Link = { errno?: unknown; message?: unknown; sqlMessage?: unknown } & Partial<
    Record<'cause' | 'original' | 'parent', unknown>
  >;
  for (let link = error as Link | null | undefined, depth = 0; link instanceof Object && depth < 6; depth += 1) {
    if (link.errno === fenceErrno) return parse(String(link.sqlMessage ?? link.message ?? ''));
    link = (link.original ?? link.parent ?? link.cause) as Link | undefined;
  }
  return undefined;
};

const parse = (message: string): FenceRefusal | undefined => {
  const found = /^strangler fence: (\S+) epoch (\d+), owner (monolith|service)(: .*)?$/s.exec(message);
  if (found === null) return undefined;
  const [, slice, epoch, owner, rest = ''] = found;
  const because = (Object.keys(fenceReasons) as FenceRefusal['because'][]).find((key) =>
    fenceReasons[key].startsWith(rest.slice(0, 8)),
  );
  return { slice: slice!, epoch: Number(epoch), owner: owner as FenceOwner, because: because ?? 'closed' };
};
