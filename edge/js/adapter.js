// @ts-check
/**
 * The GPU that this worker may use.
 */

/**
 * A GPU in words, whether it is software, and in bytes the most that it takes in one buffer.
 * @typedef {{ words: string, software: boolean, most: number | undefined }} Adapter
 */

/**
 * The adapter that WebGPU would use, in words, and whether it is software.
 * @returns {Promise<Adapter | null>}
 */
export async function findAdapter() {
  try {
    const gpu = /** @type {any} */ (navigator).gpu;
    const adapter = await gpu?.requestAdapter({ powerPreference: "high-performance" });
    if (!adapter) return null;
    const info = adapter.info ?? {};
    const parts = [info.description || info.device, info.vendor, info.architecture];
    const name = parts.filter((part, at) => part && parts.indexOf(part) === at).join(" ");
    const software =
      Boolean(info.isFallbackAdapter ?? adapter.isFallbackAdapter) ||
      /swiftshader|llvmpipe|lavapipe|software|basic render|\bwarp\b/i.test(parts.join(" "));
    const { maxBufferSize = Infinity, maxStorageBufferBindingSize = Infinity } = adapter.limits ?? {};
    const most = Math.min(maxBufferSize, maxStorageBufferBindingSize);
    return { words: `WebGPU: ${name || "an adapter without a name"}`, software, most };
  } catch {
    return null;
  }
}
