/** All that the page knows, and how an event of the feed changes it. Touches no document. */
export const emptyState = () => ({
  slices: new Map(),
  mismatches: new Map(),
  history: new Map(),
  traffic: [],
  proxies: [],
  store: null,
  troubles: [],
  hasReport: false,
  /** The proxy's clock less ours, in milliseconds. */
  clockMs: 0,
});

const maxPoints = 300;
const bySlice = (list) => new Map(list.map((one) => [one.slice, one]));

/** Takes one event in; gives the names of what has changed. */
export const take = (state, kind, value) => {
  switch (kind) {
    case 'snapshot':
      state.slices = bySlice(value.slices);
      state.mismatches = bySlice(value.mismatches);
      state.history = bySlice(value.history);
      state.traffic = value.traffic;
      state.proxies = value.proxies;
      state.store = value.store;
      state.troubles = value.troubles;
      state.hasReport = value.hasReport;
      return ['slice', 'mismatches', 'history', 'traffic', 'proxies', 'store', 'troubles'];
    case 'slice':
      state.slices.set(value.slice, value);
      break;
    case 'mismatches':
      state.mismatches.set(value.slice, value);
      break;
    case 'history':
      state.history.set(value.slice, value);
      break;
    case 'traffic':
      state.traffic.push(value);
      if (state.traffic.length > maxPoints) state.traffic.shift();
      break;
    case 'proxies':
      state.proxies = value;
      break;
    case 'store':
      state.store = value;
      break;
    case 'troubles':
      state.troubles = value;
      break;
    case 'beat':
      state.clockMs = Date.parse(value.now) - Date.now();
      break;
    default:
      return [];
  }
  return [kind];
};

/** Whether published figures still say how things are. */
export const isFresh = (figures, nowMs) =>
  figures !== null && nowMs - Date.parse(figures.at) < 5 * figures.everyMs + 3000;

/** What is worth saying aloud when a slice changes. */
export const toldOf = (before, after) => {
  if (before === undefined) return null;
  const parts = [];
  if (before.stage !== after.stage) parts.push(`stage ${before.stage} to ${after.stage}`);
  if (before.reads.percent !== after.reads.percent)
    parts.push(`reads on the service ${before.reads.percent} % to ${after.reads.percent} %`);
  if (before.writes.owner !== after.writes.owner)
    parts.push(`writes ${after.writes.owner === 'held' ? 'are held' : `go to the ${after.writes.owner}`}`);
  if (before.comparedPercent !== after.comparedPercent) parts.push(`compared ${after.comparedPercent} %`);
  return parts.length === 0 ? null : `${after.slice}: ${parts.join(', ')}`;
};
