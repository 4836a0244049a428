import { epochHeader, sideHeader } from '@strangler/platform/contracts/headers.ts';
import type { Ending } from '../../checker/history-log.ts';
import type { VisitEnding } from '../visitor.ts';

/** No request has left: there was no connection. */
const neverSent = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'UND_ERR_CONNECT_TIMEOUT']);

/**
 * What a write came to. Every answer below 500 but the good ones says that nothing was done, and so does one that asks
 * to try again (Retry-After); of any other nothing is known.
 */
export const outcomeOf = (ending: VisitEnding): Ending => {
  if (ending.kind === 'no answer') {
    const detail = `${ending.code}: ${ending.message}`.slice(0, 120);
    return { outcome: neverSent.has(ending.code) ? 'refused' : 'unknown', detail };
  }
  const { status, headers } = ending;
  const side = headers[sideHeader];
  const epoch = Number(headers[epochHeader]);
  const by = {
    side: side === 'monolith' || side === 'service' ? side : null,
    epoch: Number.isInteger(epoch) && epoch > 0 ? epoch : null,
  } as const;
  if (status < 300) return { outcome: 'ok', ...by };
  const isRefusal = status < 500 || headers['retry-after'] !== undefined;
  return { outcome: isRefusal ? 'refused' : 'unknown', ...by, detail: `status ${status}` };
};
