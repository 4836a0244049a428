import { h } from './dom.js';

const dialog = document.getElementById('ask');

/**
 * Asks before something is done: what it will do, and why it is done. `act` gets the reason; what it throws is shown,
 * and the question stays. Resolves when the dialog is closed: true where it was done.
 */
export const askFirst = ({ title, body, button, act }) =>
  new Promise((resolve) => {
    const fault = h('p', { class: 'fault', role: 'alert' });
    const reason = h('textarea', {
      id: 'reason',
      rows: 2,
      required: true,
      maxlength: 1000,
      'aria-describedby': 'reason-why',
    });
    const go = h('button', { class: 'primary', type: 'submit' }, button);
    let isDone = false;
    const form = h(
      'form',
      { method: 'dialog' },
      h('h2', { id: 'ask-title' }, title),
      body,
      h('label', { for: 'reason' }, h('b', {}, 'Reason')),
      h('p', { class: 'muted', id: 'reason-why' }, 'Stands in the history beside your name.'),
      reason,
      fault,
      h('div', { class: 'actions' }, h('button', { type: 'button', onclick: () => dialog.close() }, 'Cancel'), go),
    );
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      go.disabled = true;
      fault.textContent = '';
      try {
        await act(reason.value.trim());
        isDone = true;
        dialog.close();
      } catch (error) {
        fault.textContent = error.message;
      } finally {
        go.disabled = false;
      }
    });
    // A return key within the reason sends, as in a line of its own; shift makes a new line.
    reason.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey) return;
      event.preventDefault();
      form.requestSubmit();
    });
    dialog.replaceChildren(form);
    dialog.addEventListener('close', () => resolve(isDone), { once: true });
    dialog.showModal();
    reason.focus();
  });
