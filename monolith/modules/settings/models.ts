import { DataTypes, type Model, type ModelStatic, type Sequelize } from 'sequelize';

export type SettingRow = {
  key: string;
  /** Any JSON value, as text. */
  value: string;
  updated_at: Date;
  updated_by: number | null;
};

export type Setting = Model<SettingRow, SettingRow> & SettingRow;

export type SettingsModels = { Setting: ModelStatic<Setting> };

export function defineSettingsModels(sequelize: Sequelize): SettingsModels {
  const Setting = sequelize.define<Setting>(
    'Setting',
    {
      key: { type: DataTypes.STRING(100), primaryKey: true },
      value: { type: DataTypes.TEXT, allowNull: false },
      updated_at: { type: DataTypes.DATE(3), allowNull: false },
      updated_by: { type: DataTypes.BIGINT.UNSIGNED, allowNull: true },
    },
    { tableName: 'settings', timestamps: false },
  );
  return { Setting };
}
