/** The engine's worker. */
import "./no-storage.js";
// @ts-expect-error: only the built package has it
import "sprat/worker.js";
