// Typed reading of a JSON object from a runtime. Keys are matched without regard to case, as Go's decoder does it: containerd
// and nerdctl send `HostPort` and `Subnet`. Of several spellings the last one counts; null means absent. A wrong type is
// a CniError with code 7 that names the place, so that no caller ever sees a value of another type than it asked for.

import { CNI_CODE, CniError } from './cni-error.ts';

/** Ours: the most elements that any array of a configuration or result may have. */
const ELEMENTS_MAX = 4096;

export class JsonFields {
  /** Where the object stands, for messages: `runtimeConfig.dns`; empty at the top. */
  readonly place: string;
  /** The object as it came, for passing on. */
  readonly raw: Readonly<Record<string, unknown>>;
  readonly #values = new Map<string, unknown>();

  private constructor(raw: Readonly<Record<string, unknown>>, place: string) {
    this.raw = raw;
    this.place = place;
    for (const [key, value] of Object.entries(raw)) this.#values.set(key.toLowerCase(), value ?? undefined);
  }

  static of(value: unknown, place: string): JsonFields {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrongType(place, 'an object', value);
    return new JsonFields(value as Record<string, unknown>, place);
  }

  has(key: string): boolean {
    return this.#values.has(key.toLowerCase());
  }

  value(key: string): unknown {
    return this.#values.get(key.toLowerCase());
  }

  string(key: string): string | null {
    const value = this.value(key);
    if (value === undefined || typeof value === 'string') return value ?? null;
    throw wrongType(this.#placeOf(key), 'a string', value);
  }

  boolean(key: string): boolean | null {
    const value = this.value(key);
    if (value === undefined || typeof value === 'boolean') return value ?? null;
    throw wrongType(this.#placeOf(key), 'true or false', value);
  }

  /** An integer of at least zero. */
  count(key: string): number | null {
    const value = this.value(key);
    if (value === undefined) return null;
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
    throw wrongType(this.#placeOf(key), 'an integer of at least 0', value);
  }

  /** Null when absent. */
  object(key: string): JsonFields | null {
    const value = this.value(key);
    return value === undefined ? null : JsonFields.of(value, this.#placeOf(key));
  }

  /** Empty when absent. */
  strings(key: string): readonly string[] {
    return this.#array(key).map((element, index) => {
      if (typeof element === 'string') return element;
      throw wrongType(`${this.#placeOf(key)}[${index}]`, 'a string', element);
    });
  }

  /** Empty when absent. */
  objects(key: string): readonly JsonFields[] {
    return this.#array(key).map((element, index) => JsonFields.of(element, `${this.#placeOf(key)}[${index}]`));
  }

  #array(key: string): readonly unknown[] {
    const value = this.value(key);
    if (value === undefined) return [];
    if (!Array.isArray(value)) throw wrongType(this.#placeOf(key), 'an array', value);
    if (value.length > ELEMENTS_MAX) {
      throw new CniError(CNI_CODE.config, `${this.#placeOf(key)} has more than ${ELEMENTS_MAX} elements`);
    }
    return value;
  }

  #placeOf(key: string): string {
    return this.place === '' ? key : `${this.place}.${key}`;
  }
}

function wrongType(place: string, expected: string, value: unknown): CniError {
  const kind = value === null ? 'null' : Array.isArray(value) ? 'an array' : `a value of type ${typeof value}`;
  return new CniError(
    CNI_CODE.config,
    `${place === '' ? 'the network configuration' : place} must be ${expected}`,
    kind,
  );
}
