// @ts-check
/**
 * Checks a value against a schema. Of JSON Schema it knows what schema.js uses.
 *
 * What it says names places and rules, never values or foreign keys: a conversation may stand in either.
 */

/** @typedef {import("./schema.js").Schema} Schema */

/** Keys that mean something else than a field to a careless reader of the object. */
const RESERVED = new Set(["__proto__", "constructor", "prototype"]);

/**
 * What is wrong with a value; `null` if nothing is.
 *
 * @param {Schema} schema
 * @param {unknown} value as JSON.parse gives it
 * @param {string} path where it stands, for the words
 * @returns {string | null}
 */
export function problem(schema, value, path) {
  if (schema.anyOf) {
    const fits = schema.anyOf.some((form) => problem(form, value, path) === null);
    return fits ? null : `${path} must be ${schema.anyOf.map(words).join(" or ")}`;
  }
  if (schema.type && !hasType(schema.type, value)) return `${path} must be ${words(schema)}`;
  if (schema.enum && !schema.enum.includes(/** @type {any} */ (value))) return `${path} must be one of ${schema.enum.join(", ")}`;
  if (typeof value === "string") return lengthProblem(schema, value, path);
  if (typeof value === "number") return rangeProblem(schema, value, path);
  if (Array.isArray(value)) return itemsProblem(schema, value, path);
  if (isObject(value)) return fieldsProblem(schema, value, path);
  return null;
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
export function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * @param {NonNullable<Schema["type"]>} type
 * @param {unknown} value
 */
function hasType(type, value) {
  switch (type) {
    case "object":
      return isObject(value);
    case "array":
      return Array.isArray(value);
    case "null":
      return value === null;
    case "integer":
      return Number.isSafeInteger(value);
    case "number":
      // JSON.parse reads 1e999 as Infinity.
      return Number.isFinite(value);
    default:
      return typeof value === type;
  }
}

/** @param {Schema} schema */
function words({ type = "object" }) {
  return /^[aio]/.test(type) ? `an ${type}` : type === "null" ? "null" : `a ${type}`;
}

/** @param {Schema} schema @param {string} value @param {string} path */
function lengthProblem({ minLength = 0, maxLength = Infinity }, value, path) {
  if (value.length < minLength) return `${path} must not be empty`;
  if (value.length > maxLength) return `${path} must not be longer than ${maxLength}`;
  return null;
}

/** @param {Schema} schema @param {number} value @param {string} path */
function rangeProblem({ minimum = -Infinity, maximum = Infinity }, value, path) {
  return value < minimum || value > maximum ? `${path} must be from ${minimum} to ${maximum}` : null;
}

/** @param {Schema} schema @param {unknown[]} value @param {string} path */
function itemsProblem({ items, minItems = 0, maxItems = Infinity }, value, path) {
  if (value.length < minItems || value.length > maxItems) return `${path} must have ${minItems} to ${maxItems} items`;
  if (!items) return null;
  for (const [at, item] of value.entries()) {
    const found = problem(items, item, `${path}[${at}]`);
    if (found) return found;
  }
  return null;
}

/** @param {Schema} schema @param {Record<string, unknown>} value @param {string} path */
function fieldsProblem({ properties = {}, required = [], additionalProperties = true, maxProperties = Infinity }, value, path) {
  const keys = Object.keys(value);
  if (keys.length > maxProperties) return `${path} must not have more than ${maxProperties} fields`;
  for (const name of required) if (!Object.hasOwn(value, name)) return `${path}.${name} is missing`;
  for (const key of keys) {
    if (RESERVED.has(key)) return `${path} has a field with a reserved name`;
    const known = Object.hasOwn(properties, key);
    if (!known && additionalProperties === false) return `${path} has an unknown field; it can have ${Object.keys(properties).join(", ") || "none"}`;
    const schema = known ? properties[key] : typeof additionalProperties === "object" ? additionalProperties : null;
    const found = schema && problem(schema, value[key], known ? `${path}.${key}` : `a field of ${path}`);
    if (found) return found;
  }
  return null;
}
