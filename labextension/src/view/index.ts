/** The page that shows a store, for whatever it is shown in. */

export { fetchingCode } from './code';
export {
  formatAge,
  formatCount,
  formatShape,
  formatSize,
  untranslated,
  usageText
} from './formatting';
export type { Translate } from './formatting';
export type { Host, Preview } from './host';
export type * from './messages';
export { Model, stateAfter } from './model';
export { mountView } from './view';
export type { View, ViewOptions } from './view';
