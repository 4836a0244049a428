/** What the proxy said instead of an answer. */
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Asks the proxy; `body` makes it a change. Throws `Refusal` with the proxy's own words. */
export const ask = async (method, path, body) => {
  let answer;
  try {
    answer = await fetch(`api/${path}`, {
      method,
      headers: {
        'x-strangler-dashboard': '1',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch {
    throw new Refusal(0, 'The proxy does not answer.');
  }
  const text = await answer.text();
  const value = text === '' ? null : JSON.parse(text);
  if (answer.ok) return value;
  const errors = (value?.errors ?? []).map(({ path: at, message }) => `${at}: ${message}`).join('; ');
  throw new Refusal(answer.status, errors || value?.detail || value?.title || `The proxy answered ${answer.status}.`);
};
