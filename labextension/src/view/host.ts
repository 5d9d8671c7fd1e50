/** What a page is shown in, and can ask for: a notebook's kernel, or JupyterLab. */

import type { Look, ObjectFacts } from './messages';

/** What was found in an object. */
export interface Preview {
  readonly look: Look;
  /** Which bytes a get shares; "" where that is not known. */
  readonly memory: string;
}

/** What cannot be done here is left out, and has no button. A promise that fails is shown with its text. */
export interface Host {
  pin(object: ObjectFacts, isPinned: boolean): Promise<void>;
  remove(object: ObjectFacts): Promise<void>;
  /** Let go of what this kernel holds of it; what was cleared, for people. */
  release?(object: ObjectFacts): Promise<string>;
  preview?(object: ObjectFacts): Promise<Preview>;
  copy(text: string): Promise<void>;
  /** Put code into the notebook. */
  insert?(code: string): Promise<void>;
  /** False: there is nobody just now who could insert; asked whenever an object is shown. */
  canInsert?(): boolean;
  openNotebook?(path: string): void;
  /** Somebody selected an object, or none. */
  selected?(object: ObjectFacts | null): void;
  /** What is shown may be old: who reads an object is told by no event. */
  refresh?(): void;
}
