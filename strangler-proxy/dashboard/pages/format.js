const number = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });

export const count = (value) => number.format(value);

export const took = (ms) => {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 3_600_000) return `${Math.round(ms / 60_000)} min`;
  if (ms < 172_800_000) return `${Math.round(ms / 3_600_000)} h`;
  return `${Math.round(ms / 86_400_000)} days`;
};

export const ago = (instant, nowMs) => {
  const ms = Math.max(0, nowMs - Date.parse(instant));
  return ms < 1500 ? 'now' : `${took(ms < 60_000 ? Math.round(ms / 1000) * 1000 : ms).replace('.0 s', ' s')} ago`;
};

export const instant = (text) => text.slice(0, 19).replace('T', ' ');

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
