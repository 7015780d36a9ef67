// Empties functions that no page calls, though the compiler cannot know it: `node xtask/snip.mjs MODULE`. wasm-opt then
// drops what only they call. Should one be called all the same, the module traps, as it does on a panic, and the page goes
// on with the CPU; the browser tests run the published module over all families of models, in 8 bits too.

import { readFileSync, writeFileSync } from "node:fs";
import binaryen from "binaryen";

const [file] = process.argv.slice(2);

/**
 * Functions whose text is shorter are left alone: they weigh nothing, and the linker makes one of those that do the same,
 * under the name of any of them.
 */
const SMALL = 600;

/** By their names, with generics and paths as the linker writes them. */
const UNUSED = [
  // Kernels are compiled from operations and types that pliron can also read from text, each by a parser in a table. Nothing
  // here has such text.
  /^<.+ as pliron::parsable::Parsable>::parse::h[0-9a-f]{16}$/,
  /^<?combine::/,
  /^pliron::irfmt::parsers::/,
  /^pliron::op::canonical_syntax_parse/,
  // burn asks of every tensor whether its own quantization is to be undone. Sprat's quantized matrices are kernels' own.
  /burn_backend::backend::ops::qtensor::QTensorOps/,
];

const module = binaryen.readBinary(readFileSync(file));
const hits = UNUSED.map(() => 0);
for (let index = 0; index < module.getNumFunctions(); index += 1) {
  const func = module.getFunctionByIndex(index);
  const { name, module: imported } = binaryen.getFunctionInfo(func);
  const which = imported ? -1 : UNUSED.findIndex((pattern) => pattern.test(name));
  if (which < 0 || binaryen.emitText(binaryen.Function.getBody(func)).length < SMALL) continue;
  hits[which] += 1;
  binaryen.Function.setBody(func, module.unreachable());
}
// A crate that names them otherwise would bring them all back.
const missing = UNUSED.filter((_, which) => hits[which] === 0);
if (missing.length > 0) throw new Error(`${file} has no functions like ${missing.join(", ")}`);
writeFileSync(file, module.emitBinary());
