/** An address as it may be shown: host, port and path, never the user or the password. */
export const addressOf = (text: string): string => {
  const url = URL.parse(text);
  if (url === null || url.host === '') return text === '' ? 'nothing' : 'something that is not an address';
  const known = url.protocol === 'mysql:' || url.protocol === 'amqp:' || url.protocol === 'amqps:';
  return known ? `${url.host}${url.pathname === '/' ? '' : url.pathname}` : `${url.protocol}//${url.host}`;
};
