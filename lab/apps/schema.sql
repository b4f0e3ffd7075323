-- What the applications find in MariaDB: production has it already, the lab loads it. Every statement may run again.
CREATE DATABASE IF NOT EXISTS insync CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;
CREATE DATABASE IF NOT EXISTS insync_license CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;
CREATE DATABASE IF NOT EXISTS insync_digest CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;
CREATE DATABASE IF NOT EXISTS insync_mail CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;
CREATE DATABASE IF NOT EXISTS insync_outbox CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;

CREATE TABLE IF NOT EXISTS insync.users (
    id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    email VARCHAR(254) NOT NULL UNIQUE,
    digest BOOLEAN NOT NULL DEFAULT FALSE,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS insync_license.licenses (
    license_key VARCHAR(64) NOT NULL PRIMARY KEY,
    plan VARCHAR(32) NOT NULL,
    valid BOOLEAN NOT NULL DEFAULT TRUE
) ENGINE = InnoDB;

-- A row says that this user's digest of this period is in the outbox.
CREATE TABLE IF NOT EXISTS insync_digest.digests (
    period BIGINT UNSIGNED NOT NULL,
    user_id INT UNSIGNED NOT NULL,
    queued_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (period, user_id)
) ENGINE = InnoDB;

-- One row per mail, by the id that its producer chose: what is sent is not sent again.
CREATE TABLE IF NOT EXISTS insync_mail.sent_mail (
    id VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    state ENUM('new', 'retry', 'sent', 'buried') NOT NULL DEFAULT 'new',
    attempts INT UNSIGNED NOT NULL DEFAULT 0,
    detail VARCHAR(200) NOT NULL DEFAULT '',
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP
) ENGINE = InnoDB;

-- What is to be sent, by the id that its producer chose, in the transaction of what it is about. It stays until delivered_at
-- says that it was sent; at again_at it is looked after, and put into the queue if it is not there. What the queue says of
-- one that it does not take is in detail.
CREATE TABLE IF NOT EXISTS insync_outbox.mails (
    id VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    body MEDIUMBLOB NOT NULL,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    again_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    job BIGINT UNSIGNED,
    puts INT UNSIGNED NOT NULL DEFAULT 0,
    delivered_at TIMESTAMP NULL DEFAULT NULL,
    detail VARCHAR(200) NOT NULL DEFAULT '',
    KEY due (delivered_at, again_at)
) ENGINE = InnoDB;

INSERT IGNORE INTO insync_license.licenses (license_key, plan, valid) VALUES
    ('LAB-0001', 'prime', TRUE),
    ('LAB-0002', 'teams', TRUE),
    ('LAB-0003', 'prime', FALSE);

INSERT IGNORE INTO insync.users (email, digest) VALUES ('digest@customer.test', TRUE);
