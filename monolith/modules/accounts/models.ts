import { DataTypes, type Model, type ModelStatic, type Optional, type Sequelize } from 'sequelize';
import type { Role } from '../../auth/auth.ts';

export type AccountRow = {
  id: number;
  /** Trimmed and in lower case. */
  email: string;
  display_name: string;
  role: Role;
  password_hash: string;
  created_at: Date;
  updated_at: Date;
};

/** One refresh token ever given out. Tokens that replace one another form a family: one log-in. */
export type RefreshTokenRow = {
  id: number;
  account_id: number;
  family_id: string;
  /** SHA-256 of the token, in hexadecimal: the token itself is never stored. */
  token_hash: string;
  expires_at: Date;
  /** When it was exchanged for its successor. Using it once more is a theft: it revokes the family. */
  used_at: Date | null;
  revoked_at: Date | null;
  created_at: Date;
};

export type SigningKeyRow = {
  kid: string;
  /** PKCS#8, PEM. */
  private_key: string;
  created_at: Date;
  /** From then on it signs nothing more, and still verifies until it is deleted. */
  retired_at: Date | null;
};

export type Account = Model<AccountRow, Optional<AccountRow, 'id' | 'role'>> & AccountRow;
export type RefreshToken = Model<RefreshTokenRow, Optional<RefreshTokenRow, 'id' | 'used_at' | 'revoked_at'>> &
  RefreshTokenRow;
export type SigningKey = Model<SigningKeyRow, Optional<SigningKeyRow, 'retired_at'>> & SigningKeyRow;

export type AccountsModels = {
  Account: ModelStatic<Account>;
  RefreshToken: ModelStatic<RefreshToken>;
  SigningKey: ModelStatic<SigningKey>;
};

export function defineAccountsModels(sequelize: Sequelize): AccountsModels {
  const Account = sequelize.define<Account>(
    'Account',
    {
      id: { type: DataTypes.BIGINT.UNSIGNED, primaryKey: true, autoIncrement: true },
      email: { type: DataTypes.STRING(254), allowNull: false },
      display_name: { type: DataTypes.STRING(100), allowNull: false },
      role: { type: DataTypes.STRING(16), allowNull: false, defaultValue: 'customer' },
      password_hash: { type: DataTypes.STRING(255), allowNull: false },
      created_at: { type: DataTypes.DATE(3), allowNull: false },
      updated_at: { type: DataTypes.DATE(3), allowNull: false },
    },
    { tableName: 'accounts', timestamps: false },
  );
  const RefreshToken = sequelize.define<RefreshToken>(
    'RefreshToken',
    {
      id: { type: DataTypes.BIGINT.UNSIGNED, primaryKey: true, autoIncrement: true },
      account_id: { type: DataTypes.BIGINT.UNSIGNED, allowNull: false },
      family_id: { type: DataTypes.CHAR(36), allowNull: false },
      token_hash: { type: DataTypes.CHAR(64), allowNull: false },
      expires_at: { type: DataTypes.DATE(3), allowNull: false },
      used_at: { type: DataTypes.DATE(3), allowNull: true },
      revoked_at: { type: DataTypes.DATE(3), allowNull: true },
      created_at: { type: DataTypes.DATE(3), allowNull: false },
    },
    { tableName: 'refresh_tokens', timestamps: false },
  );
  const SigningKey = sequelize.define<SigningKey>(
    'SigningKey',
    {
      kid: { type: DataTypes.STRING(64), primaryKey: true },
      private_key: { type: DataTypes.TEXT, allowNull: false },
      created_at: { type: DataTypes.DATE(3), allowNull: false },
      retired_at: { type: DataTypes.DATE(3), allowNull: true },
    },
    { tableName: 'signing_keys', timestamps: false },
  );
  return { Account, RefreshToken, SigningKey };
}
