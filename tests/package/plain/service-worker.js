// A service worker may start no worker, so that the engine has no place to run in: it says so.
import { Sprat } from "./sprat/sprat.js";

const failure = (work) => work.then(() => null, ({ name, code }) => ({ name, code }));

onmessage = async ({ data: { model }, ports: [reply] }) => {
  reply.postMessage({ load: await failure(Sprat.load({ model })), stored: await failure(Sprat.stored()) });
};
