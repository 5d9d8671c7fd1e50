/** A question that has to be answered before something is done that cannot be undone. */

import { button, element } from './dom';

/** What is asked. */
export interface Question {
  readonly title: string;
  readonly text: string;
  readonly yes: string;
  readonly no: string;
}

/**
 * Ask.
 * @param parent Where the dialog lives; it takes its looks from there.
 * @returns Whether the answer is yes; no, too, when it was closed.
 */
export function confirmed(parent: HTMLElement, question: Question): Promise<boolean> {
  const dialog = element('dialog', 'jp-Shm-dialog');
  const title = element('h2', 'jp-Shm-dialogTitle', question.title);
  title.id = `jp-Shm-dialog-${Date.now()}`;
  dialog.setAttribute('role', 'alertdialog');
  dialog.setAttribute('aria-labelledby', title.id);
  const buttons = element('div', 'jp-Shm-dialogButtons');
  const no = button('', question.no, '', () => dialog.close('no'));
  buttons.append(
    no,
    button('jp-mod-danger', question.yes, '', () => dialog.close('yes'))
  );
  dialog.append(title, element('p', 'jp-Shm-dialogText', question.text), buttons);
  parent.append(dialog);
  const before = document.activeElement;
  return new Promise(resolve => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      if (before instanceof HTMLElement) {
        before.focus();
      }
      resolve(dialog.returnValue === 'yes');
    });
    dialog.showModal();
    no.focus();
  });
}
