// Numbers the effects that a piece of code has on the world, in order, and does something at one of them: the process dies
// (nothing after has any effect), the effect fails, or the test acts. A first run without fault tells how many there are, so
// that a test can go through all of them.

export type Fault =
  /** The process is killed: this effect does not happen, nor does any after it. */
  | 'killed before'
  /** The process is killed: this effect happened, its answer is never seen. */
  | 'killed after'
  /** This effect fails, once. */
  | 'fails'
  /** From this effect on all fail, until {@link FaultPoints.heal}. */
  | 'fails from here'
  /** The test acts before this effect. */
  | (() => void);

/** What code meets that goes on after it was killed; none of its effects happens. */
export class Killed extends Error {}

export class FaultPoints {
  /** Names of the effects so far, in order. */
  readonly names: string[] = [];
  #fault: { readonly at: number; readonly what: Fault } | null = null;
  #isDead = false;

  /** Counts anew; the effect with this number, from 0, meets the fault. */
  arm(at: number, what: Fault): void {
    this.names.length = 0;
    this.#fault = { at, what };
  }

  heal(): void {
    this.#fault = null;
  }

  /** The object with those of its methods as effects; all else is passed through. */
  over<T extends object>(name: string, target: T, methods: readonly (keyof T & string)[]): T {
    return new Proxy(target, {
      get: (object, property) => {
        const value: unknown = Reflect.get(object, property, object);
        if (typeof value !== 'function') return value;
        const method = value.bind(object) as (...args: unknown[]) => unknown;
        if (!methods.some((effect) => effect === property)) return method;
        return (...args: unknown[]) => this.effect(`${name}.${String(property)}`, () => method(...args));
      },
    });
  }

  /** One effect; what it returns or resolves to, unless it meets the fault. */
  effect<T>(name: string, happen: () => T): T {
    if (this.#isDead) throw new Killed(name);
    const number = this.names.push(name) - 1;
    const what = this.#whatHappens(number);
    if (what === 'fails' || what === 'fails from here') throw new Error(`${name} failed`);
    if (typeof what === 'function') what();
    if (what === 'killed before') this.#die(name);
    const result = happen();
    if (what !== 'killed after') return result;
    if (!(result instanceof Promise)) this.#die(name);
    return result.then(() => this.#die(name)) as T;
  }

  #whatHappens(number: number): Fault | null {
    const fault = this.#fault;
    if (fault === null) return null;
    return fault.at === number || (fault.what === 'fails from here' && number > fault.at) ? fault.what : null;
  }

  #die(name: string): never {
    this.#isDead = true;
    throw new Killed(name);
  }
}
