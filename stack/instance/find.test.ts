import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { stackHome } from '../home/paths.ts';
import { stackSettings } from '../home/settings.ts';
import { findInstallation } from './find.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'find-'));
  mkdirSync(join(folder, 'sbin'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Puts a program on the machine that says `version` of itself. */
function install(name: string, version: string): void {
  const file = join(folder, 'sbin', name);
  writeFileSync(file, `#!/bin/sh\necho '${version}'\n`);
  chmodSync(file, 0o755);
}

const mysql = '/usr/sbin/mysqld  Ver 8.4.3 for Linux on x86_64 (MySQL Community Server - GPL)';
const mariadb = '/usr/sbin/mariadbd  Ver 10.11.6-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)';
const said: string[] = [];
const find = (env: NodeJS.ProcessEnv = {}) => {
  said.length = 0;
  return findInstallation('mysql', {
    home: stackHome({ STACK_HOME: join(folder, 'home') }),
    settings: stackSettings({ STACK_SOURCES: 'machine', ...env }),
    say: (line) => said.push(line),
    folders: [join(folder, 'sbin')],
  });
};

describe('a database on the machine', () => {
  test('is MySQL where there is one', async () => {
    install('mysqld', mysql);
    install('mariadbd', mariadb);
    const { definition, installation } = await find();
    expect([definition.engine, installation.version, installation.source, installation.prefix]).toEqual([
      'mysql',
      '8.4.3',
      'machine',
      folder,
    ]);
    expect(said).toEqual([]);
  });

  test('is MariaDB in its place where there is none, and that is said in one line', async () => {
    install('mysqld', mariadb);
    const { definition, installation } = await find();
    expect([definition.engine, installation.version]).toEqual(['mariadb', '10.11.6']);
    expect(said).toEqual([
      expect.stringMatching(/^MariaDB 10\.11\.6 stands in for MySQL, which is not to be had here/),
    ]);
  });

  test('is never MariaDB when MySQL was asked for by name', async () => {
    install('mysqld', mariadb);
    await expect(find({ STACK_DB: 'mysql' })).rejects.toThrow('MySQL was found in none of machine');
  });

  test('is never MySQL when MariaDB was asked for by name', async () => {
    install('mysqld', mysql);
    await expect(find({ STACK_DB: 'mariadb' })).rejects.toThrow('MariaDB was found in none of machine');
  });

  test.each([
    ['mysqld', 'mysqld  Ver 5.7.44 for Linux on x86_64'],
    ['mariadbd', 'mariadbd  Ver 10.5.23-MariaDB for Linux'],
  ])('is left alone when it is too old (%s %s)', async (name, version) => {
    install(name, version);
    await expect(find()).rejects.toThrow('was found in none of machine');
  });
});
