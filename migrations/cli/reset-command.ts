import { spawn } from 'node:child_process';
import { CliError } from './exit-codes.ts';
import type { Terminal } from './terminal.ts';

/** Brings both sides back to the same data. @throws CliError with the command's last words where it fails */
export type ResetCommand = () => Promise<void>;

const keptCharacters = 2_000;

/** A command line for the system's shell, killed on Ctrl-C. What it prints is shown only where it fails. */
export const resetBy =
  (command: string, { environment, signal }: Pick<Terminal, 'environment' | 'signal'>): ResetCommand =>
  () =>
    new Promise((resolve, reject) => {
      let said = '';
      const child = spawn(command, {
        shell: true,
        env: environment as NodeJS.ProcessEnv,
        stdio: ['ignore', 'pipe', 'pipe'],
        signal,
      });
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (text: string) => {
          said = (said + text).slice(-keptCharacters);
        });
      }
      const fail = (how: string) =>
        reject(new CliError(`--reset: expected the command to succeed, found ${how}: ${command}\n${said.trimEnd()}`));
      child.once('error', (error) => fail(error.message));
      child.once('close', (code, killedBy) => (code === 0 ? resolve() : fail(killedBy ?? `exit status ${code}`)));
    });
