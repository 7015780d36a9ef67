// From a file every worker is an island of its own, and browsers let no compiled module pass from one to another: the
// engine's worker gets a module's bytes and compiles them itself.
WebAssembly.compileStreaming = async (response) => /** @type {any} */ ((await response).arrayBuffer());
