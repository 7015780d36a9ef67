// What a page has left in its browser, as text and bytes.

import { readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";

/** Runs in the page: everything that its origin can read back. Bytes are in base64. */
async function gather() {
  const { title, cookie, referrer } = document;
  const found = [["page", JSON.stringify([title, cookie, referrer, location.href, window.name, history.state, history.length])]];
  const base64 = (buffer) =>
    new Promise((resolve) => {
      const reader = new FileReader();
      reader.onload = () => resolve(String(reader.result).split(",")[1] ?? "");
      reader.readAsDataURL(new Blob([buffer]));
    });
  const bytes = async (name, buffer) => found.push([name, await base64(buffer), "base64"]);
  found.push(["localStorage", JSON.stringify({ ...localStorage })], ["sessionStorage", JSON.stringify({ ...sessionStorage })]);
  const done = (request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  for (const { name } of await indexedDB.databases()) {
    const database = await done(indexedDB.open(name));
    for (const store of database.objectStoreNames) {
      const objects = database.transaction(store).objectStore(store);
      found.push([`indexedDB ${name}`, JSON.stringify([store, await done(objects.getAllKeys()), await done(objects.getAll())])]);
    }
    database.close();
  }
  for (const name of await caches.keys()) {
    const cache = await caches.open(name);
    for (const request of await cache.keys()) {
      found.push([`cache ${name}`, `${request.url} ${JSON.stringify([...request.headers])}`]);
      await bytes(`cache ${name}`, await (await cache.match(request)).arrayBuffer());
    }
  }
  const walk = async (folder, at) => {
    for await (const [name, entry] of folder) {
      found.push(["OPFS", `${at}/${name}`]);
      if (entry.kind === "directory") await walk(entry, `${at}/${name}`);
      // The model's own files may be open in a worker; they are read on the disk.
      else {
        const reading = entry.getFile().then((file) => file.arrayBuffer());
        await reading.then((buffer) => bytes(`OPFS ${at}/${name}`, buffer), () => {});
      }
    }
  };
  await walk(await navigator.storage.getDirectory(), "");
  return found;
}

/** @returns {Promise<{ where: string, bytes: Buffer }[]>} */
export async function storageOf(page) {
  const found = await page.evaluate(gather);
  return found.map(([where, text, encoding]) => ({ where, bytes: Buffer.from(text, encoding ?? "utf8") }));
}

/** Every file below a folder, with its name: a browser's profile. */
export function* filesBelow(folder) {
  for (const name of readdirSync(folder, { recursive: true })) {
    const file = path.join(folder, name);
    if (!statSync(file, { throwIfNoEntry: false })?.isFile()) continue;
    yield { where: `profile ${name}`, bytes: Buffer.concat([Buffer.from(`${name}\n`), readFileSync(file)]) };
  }
}
