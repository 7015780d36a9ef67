// As on pages that are not secure: a model that the page brings along would be on the device twice.
Object.defineProperty(navigator, "storage", { value: undefined });
Object.defineProperty(globalThis, "indexedDB", { value: undefined });
