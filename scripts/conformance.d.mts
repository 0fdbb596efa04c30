// The types of conformance.mjs, for its test.

export class Conformance {
  constructor(
    heading: readonly string[],
    statements: readonly {
      readonly id: string;
      readonly part: string;
      readonly statement: string;
      readonly later?: string;
    }[],
  );
  readonly open: readonly string[];
  vitest(report: object, root: string): void;
  tap(file: string, line: string): void;
  markdown(): string;
}
