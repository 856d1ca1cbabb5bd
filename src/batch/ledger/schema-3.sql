-- What tells a job's outputs from one another; NULL where there is but one.
ALTER TABLE outputs ADD COLUMN name TEXT;
