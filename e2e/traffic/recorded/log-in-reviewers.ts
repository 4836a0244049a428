import { type Dispatcher, request } from 'undici';

/** A customer, known by an account that nobody else uses. */
export type ReviewerAccount = { accountId: number; accessToken: string };

/** Registers so many customers and logs them in, one after the other. */
export const logInReviewers = async (
  proxyUrl: string,
  count: number,
  dispatcher: Dispatcher,
): Promise<ReviewerAccount[]> => {
  const accounts: ReviewerAccount[] = [];
  const password = 'correct horse battery staple';
  for (let n = 1; n <= count; n += 1) {
    const email = `reviewer${n}.${crypto.randomUUID()}@shop.example`;
    const post = (path: string, body: object) => postJson(`${proxyUrl}${path}`, body, dispatcher);
    await post('/api/accounts', { email, password, display_name: `Reviewer ${n}` });
    const { access_token: accessToken } = (await post('/api/sessions', { email, password })) as {
      access_token: string;
    };
    accounts.push({ accountId: subjectOf(accessToken), accessToken });
  }
  return accounts;
};

const postJson = async (url: string, body: object, dispatcher: Dispatcher): Promise<unknown> => {
  const answer = await request(url, {
    dispatcher,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const text = await answer.body.text();
  if (answer.statusCode !== 201) throw new Error(`POST ${url}: expected 201, got ${answer.statusCode}: ${text}`);
  return JSON.parse(text);
};

/** The account in a token of the shop. */
const subjectOf = (token: string): number => {
  const [, claims = ''] = token.split('.');
  return Number((JSON.parse(Buffer.from(claims, 'base64url').toString()) as { sub: string }).sub);
};
