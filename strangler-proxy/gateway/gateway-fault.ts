import type { YamlFault } from '@strangler/platform/contracts/yaml-file.ts';

/** A file of the gateway is unusable; the message holds one line a fault, `file:line path: what was expected`. */
export class GatewayFileError extends Error {
  override name = 'GatewayFileError';
  readonly faults: readonly YamlFault[];

  constructor(faults: readonly YamlFault[]) {
    super(faults.map(({ file, line, path, message }) => `${file}:${line} ${path}: ${message}`).join('\n'));
    this.faults = faults;
  }
}
