// @ts-check
/**
 * The worker that has a network.
 */

import { serveLink } from "./serve-link.js";

// @ts-ignore: built, not written
serveLink(self, () => import("./link/sprat_link.js"));
