import { type Side, type SideAnswer, sideAt } from '@strangler/migrations/http/side.ts';

/** Two accounts in one role whom nothing but ids and addresses tells apart: one goes to the left side, the other to the right. */
export type Twins = readonly [left: TwinAccount, right: TwinAccount];
export type TwinAccount = { id: number; email: string; token: string };

/** The twins of each role, others for every sequence. */
export type TwinBook = { of(role: string): Twins | undefined; set(role: string, twins: Twins): void; all(): Twins[] };

export function createTwinBook(): TwinBook {
  const roles = new Map<string, Twins>();
  return {
    of: (role) => roles.get(role),
    set: (role, twins) => void roles.set(role, twins),
    all: () => [...roles.values()],
  };
}

export type TwinSideOptions = {
  name: string;
  /** 0: the left twins come here. */
  at: 0 | 1;
  url: string;
  /** Where paths that begin so are asked instead; carts stay at the shop whoever sells them. */
  elsewhere: { prefix: string; url: string };
  book: TwinBook;
  /** Called with each answer before it is told, with what was sent and a way to ask more as the same one. */
  settled(
    sent: { method: string; path: string },
    answer: SideAnswer,
    ask: (path: string) => Promise<SideAnswer>,
  ): Promise<void>;
};

/**
 * A side to which each role is one of two twins: tokens are roles, put in their place on the way, and where an answer tells who somebody
 * is, it says so of both twins alike.
 */
export function twinSide({ name, at, url, elsewhere, book, settled }: TwinSideOptions): Side {
  const [own, other] = [sideAt(name, url), sideAt(name, elsewhere.url)];
  return {
    name,
    close() {
      own.close();
      other.close();
    },
    async send(request) {
      const [, role = ''] = /^Bearer (.+)$/.exec(request.headers.authorization ?? '') ?? [];
      const token = book.of(role)?.[at].token;
      const headers = {
        ...request.headers,
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      };
      const { authorization } = headers as Record<string, string | undefined>;
      const ask = (path: string) =>
        own.send({ method: 'GET', path, headers: authorization === undefined ? {} : { authorization }, body: null });
      const answer = await (request.path.startsWith(elsewhere.prefix) ? other : own).send({ ...request, headers });
      await settled(request, answer, ask);
      return alike(answer, at, book);
    },
  };
}

/** The right twin is told of as the left one. */
function alike(answer: SideAnswer, at: 0 | 1, book: TwinBook): SideAnswer {
  if (at === 0 || answer.json === undefined) return answer;
  let text = answer.bytes.toString('utf8');
  for (const [left, right] of book.all()) {
    text = text.replaceAll(JSON.stringify(right.email), JSON.stringify(left.email));
    text = text.replaceAll(`"customer":{"id":${right.id},`, `"customer":{"id":${left.id},`);
  }
  return { ...answer, bytes: Buffer.from(text), json: JSON.parse(text) };
}
