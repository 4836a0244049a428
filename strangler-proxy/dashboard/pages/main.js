import { ask, Refusal } from './api.js';
import { createCutover } from './cutover.js';
import { createData, createWriters } from './data.js';
import { h, show, tag } from './dom.js';
import { listen } from './feed.js';
import { createFlip } from './flip.js';
import { createGates } from './gates.js';
import { createHistory } from './history.js';
import { createMismatches } from './mismatches.js';
import { createStages, slicesNav, standing } from './stages.js';
import { emptyState, take, toldOf } from './state.js';
import { createTraffic } from './traffic.js';
import { createTroubles } from './troubles.js';

const at = (id) => document.getElementById(id);

const connection = (state) => {
  const element = at('connection');
  element.className = `tag ${state === 'live' ? 'good' : 'warn'}`;
  const text = state === 'live' ? '● live' : '! connection lost, trying again';
  if (element.textContent !== text) element.textContent = text;
};

const showBoard = (person) => {
  const state = emptyState();
  const panels = {
    stages: createStages(),
    traffic: createTraffic(),
    flip: createFlip({ person, onRefused: refusedBy }),
    gates: createGates({ person }),
    data: createData(),
    cutover: createCutover(),
    mismatches: createMismatches(),
    writers: createWriters(),
    history: createHistory(),
  };
  const name = h('h1', {});
  const line = h('p', {});
  const refused = h('p', {});
  const troubles = createTroubles(at('troubles'));
  at('slice').replaceChildren(
    h('div', { class: 'slice-title' }, name, line),
    refused,
    h(
      'div',
      { class: 'panels' },
      Object.values(panels).map(({ root }) => root),
    ),
  );
  at('sign-in').hidden = true;
  at('board').hidden = false;
  at('person').textContent = person.by === 'loopback' ? 'looking on' : `${person.name} (${person.role})`;
  at('sign-out').hidden = person.by !== 'session';

  const current = () => {
    const wanted = decodeURIComponent(location.hash.slice(1));
    return state.slices.has(wanted) ? wanted : state.slices.keys().next().value;
  };
  const nowMs = () => Date.now() + state.clockMs;

  const draw = () => {
    troubles.draw(state);
    const slice = current();
    const view = state.slices.get(slice);
    if (view === undefined) {
      name.textContent = 'No slices';
      line.textContent = state.store?.why ?? '';
      return;
    }
    const now = nowMs();
    show(at('slices'), slicesNav(state, slice));
    if (name.textContent !== slice) panels.mismatches.forget();
    name.textContent = slice;
    line.textContent = standing(view);
    refused.replaceChildren(
      ...(view.refused === null
        ? []
        : [tag('bad', '✕ document refused'), ` The last good one stays in force: ${view.refused}`]),
    );
    panels.stages.draw(view);
    panels.traffic.draw(state, slice, now);
    panels.flip.draw(view);
    panels.gates.draw(view, now);
    panels.data.draw(view, now);
    panels.cutover.draw(view, now);
    panels.mismatches.draw(state, view, now);
    panels.writers.draw(view);
    panels.history.draw(state, slice, now);
    const proxies = state.proxies.map(({ id, workers, failure, address }) =>
      failure === null ? `${id} (${workers} workers)` : `✕ ${address} does not answer: ${failure}`,
    );
    at('proxies').textContent = `Proxies: ${proxies.join(', ') || 'none seen yet'}.`;
  };
  let isDrawing = false;
  const drawSoon = () => {
    if (isDrawing) return;
    isDrawing = true;
    requestAnimationFrame(() => {
      isDrawing = false;
      draw();
    });
  };

  const stop = listen({
    onState: connection,
    onEvent(kind, value) {
      if (kind === 'slice') {
        const told = toldOf(state.slices.get(value.slice), value);
        if (told !== null) at('told').textContent = told;
      }
      take(state, kind, value);
      drawSoon();
    },
    async onRefused(again) {
      try {
        await ask('GET', 'session');
        again();
      } catch (error) {
        if (error instanceof Refusal && error.status === 401) leave();
        else again(3000);
      }
    },
  });
  const ticking = setInterval(drawSoon, 1000);
  const onHash = () => {
    draw();
    at('main').focus();
  };
  addEventListener('hashchange', onHash);
  const leave = () => {
    stop();
    clearInterval(ticking);
    removeEventListener('hashchange', onHash);
    showSignIn('Your session is over. Sign in again.');
  };
  leaveBoard = leave;
  if (person.hint) at('notices').replaceChildren(h('p', { class: 'notice' }, `! ${person.hint}`));
};

let leaveBoard = () => {};
const refusedBy = (error) => {
  if (error.status === 401) leaveBoard();
};

const showSignIn = (why = '') => {
  at('board').hidden = true;
  at('sign-out').hidden = true;
  at('person').textContent = '';
  at('connection').textContent = '';
  at('connection').className = '';
  at('sign-in').hidden = false;
  at('sign-in-fault').textContent = why;
  at('token').value = '';
  at('token').focus();
};

const signIn = async (token) => {
  await ask('POST', 'session', { token });
  showBoard(await ask('GET', 'session'));
  // Who has just come in begins at the top, where the slices are.
  at('main').focus({ preventScroll: true });
};

at('sign-in-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  at('sign-in-fault').textContent = '';
  try {
    await signIn(at('token').value.trim());
  } catch (error) {
    at('sign-in-fault').textContent = error.message;
    at('token').select();
  }
});
at('sign-out').addEventListener('click', async () => {
  await ask('DELETE', 'session').catch(() => {});
  leaveBoard();
  at('sign-in-fault').textContent = '';
});

// A link that was printed for whoever may sign in brings the token behind the #, which no server sees; it goes from the address at once.
const brought = /^#token=(.+)$/.exec(location.hash)?.[1];
if (brought !== undefined) history.replaceState(null, '', location.pathname);
try {
  if (brought !== undefined) await signIn(decodeURIComponent(brought));
  else showBoard(await ask('GET', 'session'));
} catch (error) {
  if (error.status === 401) showSignIn(brought === undefined ? '' : error.message);
  else at('notices').replaceChildren(h('p', { class: 'notice', role: 'alert' }, error.message));
}
