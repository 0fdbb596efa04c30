// A Log that keeps what was said, for assertions; nothing is printed.

import type { Log, LogFields } from '../../src/base/capabilities.ts';

export class RecordingLog implements Log {
  readonly lines: { level: string; event: string; fields: LogFields }[] = [];

  debug(event: string, fields: LogFields = {}): void {
    this.lines.push({ level: 'debug', event, fields });
  }

  info(event: string, fields: LogFields = {}): void {
    this.lines.push({ level: 'info', event, fields });
  }

  warn(event: string, fields: LogFields = {}): void {
    this.lines.push({ level: 'warn', event, fields });
  }

  error(event: string, fields: LogFields = {}): void {
    this.lines.push({ level: 'error', event, fields });
  }
}
