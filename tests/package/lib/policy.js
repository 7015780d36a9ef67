/**
 * The content security policy that docs/package.md gives.
 * @param {string} models the origin of the models
 */
export const policy = (models) =>
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; " +
  `connect-src 'self' ${models}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
