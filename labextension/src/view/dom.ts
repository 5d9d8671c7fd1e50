/** Making elements. Text goes in as text, never as markup: names are what their publishers please. */

/** An element of a class, with text. */
export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  className = '',
  text = ''
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  if (className) {
    made.className = className;
  }
  if (text) {
    made.textContent = text;
  }
  return made;
}

/** A button that says what it does. */
export function button(
  className: string,
  text: string,
  title: string,
  clicked: () => void
): HTMLButtonElement {
  const made = element('button', `jp-Shm-button ${className}`, text);
  made.type = 'button';
  made.title = title;
  made.addEventListener('click', clicked);
  return made;
}

/** Change what an element says, if it says anything else. */
export function say(node: HTMLElement, text: string, title = ''): void {
  if (node.textContent !== text) {
    node.textContent = text;
  }
  if (node.title !== title) {
    node.title = title;
  }
}

/** Call something at most once per frame, and only when frames are drawn. */
export function perFrame(draw: () => void): { ask: () => void; cancel: () => void } {
  let frame = 0;
  return {
    ask: () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        draw();
      });
    },
    cancel: () => {
      cancelAnimationFrame(frame);
      frame = 0;
    }
  };
}

/** The last one of some; `undefined` if there is none. */
export function lastOf<Kind>(some: readonly Kind[]): Kind | undefined {
  return some[some.length - 1];
}

/** Tells whether an element can be seen: laid out, scrolled to, in a tab that is shown. */
export class Presence {
  isVisible = false;
  private isNear = false;
  private readonly observer: IntersectionObserver;

  constructor(
    node: Element,
    private readonly changed: (isVisible: boolean) => void
  ) {
    this.observer = new IntersectionObserver(entries => {
      this.isNear = lastOf(entries)?.isIntersecting ?? false;
      this.look();
    });
    this.observer.observe(node);
    document.addEventListener('visibilitychange', this.look);
  }

  dispose(): void {
    this.observer.disconnect();
    document.removeEventListener('visibilitychange', this.look);
  }

  private readonly look = (): void => {
    const isVisible = this.isNear && document.visibilityState === 'visible';
    if (isVisible !== this.isVisible) {
      this.isVisible = isVisible;
      this.changed(isVisible);
    }
  };
}
