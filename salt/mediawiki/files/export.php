<?php
// Managed by Salt. Prints every page as a line of JSON: the path that readers know, the title, the revision, and the
// page as HTML that needs no PHP any more. `insync.export_wiki` calls it.

use MediaWiki\MediaWikiServices;

require_once '/usr/share/mediawiki/maintenance/Maintenance.php';

class InsyncExport extends Maintenance {
	public function __construct() {
		parent::__construct();
		$this->addDescription( 'Print all pages as HTML, a line of JSON for each' );
		$this->addOption( 'count', 'Only print how many there are' );
	}

	public function execute() {
		$ids = wfGetDB( DB_REPLICA )->newSelectQueryBuilder()
			->select( 'page_id' )->from( 'page' )->orderBy( 'page_id' )->caller( __METHOD__ )->fetchFieldValues();
		if ( $this->hasOption( 'count' ) ) {
			$this->output( count( $ids ) . "\n" );
			return;
		}
		foreach ( $ids as $id ) {
			$line = json_encode( $this->page( (int)$id ), JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE );
			$this->output( "$line\n" );
		}
	}

	private function page( $id ) {
		$services = MediaWikiServices::getInstance();
		$page = $services->getWikiPageFactory()->newFromID( $id );
		$title = $page->getTitle();
		$options = ParserOptions::newFromAnon();
		$output = $page->getContent() ? $page->getParserOutput( $options, null, true ) : false;
		if ( !$output ) {
			$this->fatalError( "$title: cannot be rendered" );
		}
		$target = $page->getRedirectTarget();
		$links = [];
		foreach ( $output->getCategoryNames() as $name ) {
			$links[] = $this->link( Title::makeTitle( NS_CATEGORY, $name ) );
		}
		$body = $output->getText( [ 'enableSectionEditLinks' => false ] ) . $this->members( $title );
		return [
			'path' => 'wiki/' . $title->getPrefixedDBkey(),
			'title' => $title->getPrefixedText(),
			'revision' => $page->getLatest(),
			'to' => $target ? 'wiki/' . $target->getPrefixedDBkey() : null,
			'categories' => implode( ' | ', $links ),
			'body' => $body,
		];
	}

	// What a page of a category or of a file shows beside its text.
	private function members( $title ) {
		$file = $title->inNamespace( NS_FILE )
			? MediaWikiServices::getInstance()->getRepoGroup()->getLocalRepo()->findFile( $title ) : null;
		if ( $file ) {
			$url = htmlspecialchars( $file->getUrl() );
			return "<p><a href=\"$url\">" . htmlspecialchars( $title->getText() ) . '</a></p>';
		}
		if ( !$title->inNamespace( NS_CATEGORY ) ) {
			return '';
		}
		$items = '';
		foreach ( Category::newFromTitle( $title )->getMembers() as $member ) {
			$items .= '<li>' . $this->link( $member ) . '</li>';
		}
		return "<ul>$items</ul>";
	}

	private function link( $title ) {
		$url = htmlspecialchars( $title->getLocalURL() );
		return "<a href=\"$url\">" . htmlspecialchars( $title->getPrefixedText() ) . '</a>';
	}
}

$maintClass = InsyncExport::class;
require_once RUN_MAINTENANCE_IF_MAIN;
