// The types of cni-conformance.mjs, for its test.

export class CniConformance {
  constructor(statements: readonly { readonly id: string; readonly part: string; readonly statement: string }[]);
  readonly open: readonly string[];
  vitest(report: object, root: string): void;
  tap(file: string, line: string): void;
  markdown(): string;
}
