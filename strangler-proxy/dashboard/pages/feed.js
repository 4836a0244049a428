const kinds = ['snapshot', 'slice', 'traffic', 'mismatches', 'history', 'proxies', 'store', 'troubles', 'beat'];
const silentMs = 7000;

/**
 * Listens to the proxy's events for as long as the page is open. A connection that ends, or says nothing for long, is made
 * anew and goes on after the last event. `onState`: 'live', or 'lost' with the instant since when.
 */
export const listen = ({ onEvent, onState, onRefused }) => {
  let source;
  let lastId = '';
  let lastHeardMs = Date.now();
  let isStopped = false;

  const open = () => {
    source?.close();
    if (isStopped) return;
    source = new EventSource(lastId === '' ? 'api/events' : `api/events?after=${encodeURIComponent(lastId)}`);
    lastHeardMs = Date.now();
    for (const kind of kinds) {
      source.addEventListener(kind, (event) => {
        lastHeardMs = Date.now();
        if (event.lastEventId !== '') lastId = event.lastEventId;
        onState('live');
        onEvent(kind, JSON.parse(event.data));
      });
    }
    source.addEventListener('error', () => {
      onState('lost');
      // The browser goes on by itself unless the answer was a refusal.
      if (source.readyState === EventSource.CLOSED) onRefused(again);
    });
  };
  const again = (inMs = 1000) => setTimeout(open, inMs);
  const watching = setInterval(() => {
    if (Date.now() - lastHeardMs < silentMs) return;
    onState('lost');
    if (source.readyState === EventSource.OPEN) open();
  }, 1000);
  open();
  return () => {
    isStopped = true;
    clearInterval(watching);
    source.close();
  };
};
