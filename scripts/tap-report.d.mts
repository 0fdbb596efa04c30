// The types of tap-report.mjs, for its test.

export class TapReport {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  constructor(write: (line: string) => void);
  line(text: string): void;
  end(status: number | null): void;
}
