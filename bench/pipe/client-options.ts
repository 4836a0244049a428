import { writeFile } from 'node:fs/promises';

/** Writes a file of options for a server's own client programs: a password in the arguments is read by everybody. */
export const writeClientOptions = async (file: string, url: string): Promise<string> => {
  const { hostname, port, username, password } = new URL(url);
  const lines = [
    '[client]',
    `host=${hostname}`,
    `port=${port}`,
    'protocol=tcp',
    `user=${decodeURIComponent(username)}`,
    `password="${decodeURIComponent(password)}"`,
  ];
  await writeFile(file, `${lines.join('\n')}\n`, { mode: 0o600 });
  return file;
};
