// What the page imports of the package that lies beside it when it is built, as its sources in edge/js type it.
declare module "*/sprat/element.js" {}
declare module "*/sprat/sprat.js" {
  export const Sprat: typeof import("../../edge/js/sprat.js").Sprat;
}
declare module "*/sprat/element/styles-shared.js" {
  export const sharedSheets: typeof import("../../edge/js/element/styles-shared.js").sharedSheets;
}
declare module "*/sprat/element/dom.js" {
  export const make: typeof import("../../edge/js/element/dom.js").make;
  export const definitions: typeof import("../../edge/js/element/dom.js").definitions;
}
declare module "*/sprat/element/dialog.js" {
  export const closeOnBackdrop: typeof import("../../edge/js/element/dialog.js").closeOnBackdrop;
}
declare module "*/sprat/element/words.js" {
  export const Words: typeof import("../../edge/js/element/words.js").Words;
}
declare module "*/sprat/element/problem.js" {
  export const describe: typeof import("../../edge/js/element/problem.js").describe;
}
declare module "*/sprat/element/turn.js" {
  export const failureOf: typeof import("../../edge/js/element/turn.js").failureOf;
}
