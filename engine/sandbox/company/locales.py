"""The languages of the demo company: names, places, firms and phone plans of eighteen countries in ten scripts.

Names are written ``native:latin`` where the script is not Latin; the Latin form makes the e-mail address.
Phone templates are national formats in which every ``#`` may be any digit and the number stays valid for
``phonenumbers``; a test proves it for each template.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from random import Random

#: Latin letters that Unicode does not decompose into a base letter and an accent.
_LATIN = str.maketrans(
    {"ß": "ss", "ł": "l", "ø": "o", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"}
)


@dataclass(frozen=True, slots=True)
class Name:
    """One name as its bearer writes it, and in ASCII lower case for addresses."""

    native: str
    latin: str


@dataclass(frozen=True, slots=True)
class City:
    """A city with its region (empty where addresses have none) and a postcode template (``#`` is a digit)."""

    name: str
    region: str
    postcode: str


@dataclass(frozen=True, slots=True)
class Locale:
    """What people, firms and addresses of one country look like.

    Attributes:
        tag: BCP 47 language tag.
        region: ISO 3166 two-letter country.
        country: English country name, as a CRM's country list has it.
        calling: country calling code without ``+``.
        trunk: digits that a national number starts with and an international one drops.
        fixed, mobile: national phone templates.
        family_first: whether the family name is written before the given name.
    """

    tag: str
    region: str
    country: str
    calling: str
    trunk: str
    fixed: tuple[str, ...]
    mobile: tuple[str, ...]
    given: tuple[Name, ...]
    family: tuple[Name, ...]
    cities: tuple[City, ...]
    streets: tuple[str, ...]
    firms: tuple[Name, ...]
    firm_forms: tuple[str, ...]
    titles: tuple[str, ...]
    departments: tuple[str, ...]
    greeting: str
    family_first: bool = False


def ascii_of(text: str) -> str:
    """Lower-case ASCII letters of a Latin text: accents dropped, everything else removed."""
    folded = unicodedata.normalize("NFKD", text.lower().translate(_LATIN))
    return "".join(letter for letter in folded if letter.isascii() and letter.isalnum())


def _names(text: str) -> tuple[Name, ...]:
    names = []
    for word in text.split(","):
        native, _, latin = word.strip().partition(":")
        names.append(Name(native, ascii_of(latin or native)))
    return tuple(names)


def _cities(text: str) -> tuple[City, ...]:
    return tuple(City(*(part.strip() for part in row.split("/"))) for row in text.split(";"))


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(";"))


def _locale(
    tag: str,
    country: str,
    calling: str,
    trunk: str,
    *,
    fixed: str,
    mobile: str,
    given: str,
    family: str,
    cities: str,
    streets: str,
    firms: str,
    forms: str,
    titles: str,
    departments: str,
    greeting: str,
    family_first: bool = False,
) -> Locale:
    return Locale(
        tag=tag,
        region=tag[-2:],
        country=country,
        calling=calling,
        trunk=trunk,
        fixed=_words(fixed),
        mobile=_words(mobile),
        given=_names(given),
        family=_names(family),
        cities=_cities(cities),
        streets=_words(streets),
        firms=_names(firms),
        firm_forms=_words(forms),
        titles=_words(titles),
        departments=_words(departments),
        greeting=greeting,
        family_first=family_first,
    )


def fill(template: str, dice: Random) -> str:
    """The template with each ``#`` replaced by a digit."""
    if "#" not in template:
        return template
    digits = iter(str(dice.randrange(10 ** template.count("#"))).zfill(template.count("#")))
    return "".join(next(digits) if letter == "#" else letter for letter in template)


def international(locale: Locale, national: str) -> str:
    """A national number of ``locale`` in the international format with ``+``."""
    bare = national.replace("(", "").replace(")", "")
    if locale.trunk and bare.startswith(locale.trunk):
        bare = bare[len(locale.trunk) :].lstrip(" -")
    return f"+{locale.calling} {bare}"


LOCALES: tuple[Locale, ...] = (
    _locale(
        "en-US",
        "United States",
        "1",
        "",
        fixed="(212) 55#-####;(415) 62#-####;(312) 44#-####",
        mobile="(917) 33#-####;(650) 28#-####",
        given="James,Mary,Robert,Patricia,Michael,Linda,David,Barbara,William,Susan,Latoya,Tyrone,Grace,Ethan,Zoe,Noah",
        family="Smith,Johnson,Williams,Brown,Jones,Miller,Davis,Wilson,O'Connor,Thompson,Washington,Parker,Reed,Hayes,Brooks,Coleman",
        cities="New York/NY/100##;San Francisco/CA/941##;Chicago/IL/606##;Austin/TX/787##",
        streets="{n} Main Street;{n} Market Street, Suite {m};{n} Park Avenue;{n} Elm Drive",
        firms="Harbor,Summit,Bluebird,Granite,Prairie,Keystone,Lakeside,Redwood,Beacon,Cascade",
        forms="{} Inc.;{} LLC;{} Partners;{} & Sons",
        titles="VP Sales;Chief Financial Officer;Procurement Manager;Software Engineer;Office Manager",
        departments="Sales;Finance;Operations;IT",
        greeting="Met at the trade fair, wants a call back.",
    ),
    _locale(
        "en-GB",
        "United Kingdom",
        "44",
        "0",
        fixed="020 7946 ####;0161 496 ####;0131 496 ####",
        mobile="07400 ######;07911 2#####",
        given="Oliver,Amelia,Harry,Isla,George,Ava,Alfie,Freya,Siobhán,Rhys,Niamh,Callum,Poppy,Hamish",
        family="Taylor,Davies,Evans,Wright,Hughes,Ó Briain,MacDonald,Patel,Khan,Fitzgerald-Huntington,Clarke,Turner",
        cities="London//EC#A #BB;Manchester//M# #AE;Edinburgh//EH# #NG",
        streets="{n} High Street;{n} Station Road;Flat {m}, {n} Queen's Gate;The Old Mill, {n} Church Lane",
        firms="Thistle,Albion,Foxglove,Kingfisher,Wessex,Humber,Severn,Pennine",
        forms="{} Ltd;{} plc;{} & Co",
        titles="Managing Director;Head of Purchasing;Solicitor;Account Executive",
        departments="Purchasing;Legal;Marketing",
        greeting="Prefers e-mail over the phone.",
    ),
    _locale(
        "de-DE",
        "Germany",
        "49",
        "0",
        fixed="030 9018####;089 2316####;040 4282####",
        mobile="0151 234#####;0171 45#####;0160 93######",
        given="Jürgen,Käthe,Günther,Anneliese,Björn,Sören,Lukas,Hannah,Maximilian,Ursula,Jörg,Renate,Matthias,Heike",
        family="Müller,Schröder,Weiß,Größer,Schäfer,König,Kühn,von der Leyen-Hohenberg,Bäcker,Hoffmann,Krüger,Möller",
        cities="Berlin//10###;München//80###;Hamburg//20###;Köln//50###",
        streets="Hauptstraße {n};Goethestraße {n};Am Weißen Berg {n};Prinzregentenstraße {n}, Hinterhaus",
        firms="Löwenbräu-Technik,Nordstern,Grünwald,Donau,Spree,Eichenhof,Blitz,Übersee",
        forms="{} GmbH;{} AG;{} GmbH & Co. KG;{} e. V.",
        titles="Geschäftsführer;Einkaufsleiterin;Leiter Qualitätssicherung;Sachbearbeiter",
        departments="Einkauf;Vertrieb;Buchhaltung",
        greeting="Rückruf erbeten, möglichst vormittags.",
    ),
    _locale(
        "fr-FR",
        "France",
        "33",
        "0",
        fixed="01 42 68 ## ##;04 78 92 ## ##",
        mobile="06 12 34 ## ##;07 81 23 ## ##",
        given="Chloé,François,Élodie,Gaël,Hélène,Jérôme,Noémie,Rémi,Zoë,Théo,Anaïs,Benoît,Océane,Mathéo",
        family="Lefèvre,Dûpré,Béranger,Garçon,Lévêque,d'Aubigné,Müntz,Noël,Françoise-Dupont,Hébert,Rousseau,Chevalier",
        cities="Paris//750##;Lyon//690##;Besançon//25000",
        streets="{n}, rue de la République;{n} bis, avenue des Champs-Élysées;{n}, quai d'Orsay",
        firms="Étoile,Bélier,Rivière,Château,Lumière,Mérindol",
        forms="{} SA;{} SARL;Société {}",
        titles="Directrice générale;Responsable des achats;Ingénieur d'études;Président-directeur général",
        departments="Achats;Ressources humaines;Études",
        greeting="À rappeler après les congés d'été.",
    ),
    _locale(
        "es-ES",
        "Spain",
        "34",
        "",
        fixed="912 34 ## ##;932 15 ## ##",
        mobile="612 34 ## ##;655 78 ## ##",
        given="José,María,Ángel,Begoña,Íñigo,Lucía,Óscar,Verónica,Andrés,Inés,Ramón,Concepción",
        family="García Núñez,Muñoz,Peña,Ibáñez,Ortiz,Gutiérrez,Yáñez,Fernández de Córdoba,Castaño,Domínguez",
        cities="Madrid//280##;Barcelona//080##;A Coruña/Galicia/15###",
        streets="Calle Mayor {n};Avenida de España {n}, {m}º B;Plaza del Ángel {n}",
        firms="Montaña,Niño,Cañada,Sueño,Alcázar,Peñón",
        forms="{} S.A.;{} S.L.;Grupo {}",
        titles="Directora comercial;Jefe de compras;Técnico de señalización",
        departments="Compras;Ventas;Administración",
        greeting="Interesado en la ampliación del año próximo.",
    ),
    _locale(
        "pl-PL",
        "Poland",
        "48",
        "",
        fixed="22 628 ## ##;12 345 ## ##",
        mobile="512 34# ###;601 23# ###",
        given="Łukasz,Małgorzata,Paweł,Żaneta,Grażyna,Stanisław,Zofia,Michał,Agnieszka,Świętosława",
        family="Wiśniewski,Wójcik,Kowalczyk,Dąbrowski,Zając,Król,Błaszczykowski,Żółkiewski,Śliwa,Grzegorzewska",
        cities="Warszawa//00-###;Kraków//30-###;Łódź//90-###",
        streets="ul. Świętokrzyska {n};al. Jerozolimskie {n}/{m};ul. Źródlana {n}",
        firms="Orzeł,Wisła,Żubr,Bałtyk,Śląsk",
        forms="{} Sp. z o.o.;{} S.A.",
        titles="Kierownik działu zakupów;Główna księgowa;Inżynier",
        departments="Zakupy;Księgowość",
        greeting="Prosi o ofertę na piśmie.",
    ),
    _locale(
        "sv-SE",
        "Sweden",
        "46",
        "0",
        fixed="08-123 45 ##;031-712 3# ##",
        mobile="070-174 ## ##;073-512 ## ##",
        given="Åsa,Göran,Märta,Björn,Örjan,Linnéa,Håkan,Sven,Kerstin,Mårten",
        family="Åkesson,Sjöberg,Lindström,Öberg,Nyström,Bergström,Hägg,Söderlund,Ek",
        cities="Stockholm//1## 4#;Göteborg//41# 0#;Malmö//21# 2#",
        streets="Storgatan {n};Östra Ågatan {n};Kungsgatan {n}, {m} tr",
        firms="Norrsken,Björk,Älvsjö,Mälaren",
        forms="{} AB;{} Handelsbolag",
        titles="Inköpschef;Verkställande direktör;Säljare",
        departments="Inköp;Försäljning",
        greeting="Återkommer efter mötet.",
    ),
    _locale(
        "tr-TR",
        "Turkey",
        "90",
        "0",
        fixed="0212 345 ## ##;0312 234 ## ##",
        mobile="0532 345 ## ##;0542 678 ## ##",
        given="Ayşe,Çağla,Gökhan,İbrahim,Işıl,Oğuz,Şule,Ümit,Yiğit,Zeynep",
        family="Yılmaz,Çelik,Öztürk,Şahin,Aydın,Güneş,Kılıç,Doğan,Koçoğlu",
        cities="İstanbul/Kadıköy/347##;Ankara/Çankaya/065##;İzmir/Karşıyaka/355##",
        streets="Atatürk Caddesi No: {n};İstiklal Cad. {n}/{m};Gül Sokağı {n}",
        firms="Yıldız,Gökçe,Boğaziçi,Işık,Çınar",
        forms="{} A.Ş.;{} Ltd. Şti.",
        titles="Satın Alma Müdürü;Genel Müdür Yardımcısı;Mühendis",
        departments="Satış;Satın Alma",
        greeting="Öğleden sonra aranmak istiyor.",
    ),
    _locale(
        "pt-BR",
        "Brazil",
        "55",
        "",
        fixed="(11) 3344-####;(21) 2233-####",
        mobile="(11) 96123-####;(21) 98765-####",
        given="João,Conceição,Antônio,Luísa,Sebastião,Tainá,Márcio,Flávia,Iguaçu,Thaís",
        family="Gonçalves,Simões,Araújo,da Conceição,Magalhães,Brandão,Assunção,de Souza Leão",
        cities="São Paulo/SP/01###-0##;Rio de Janeiro/RJ/20###-0##;Florianópolis/SC/88###-0##",
        streets="Rua São João, {n};Avenida Paulista, {n} - {m}º andar;Travessa da Conceição, {n}",
        firms="Ipê,Açaí,Jacarandá,Pão de Açúcar,Guanabara",
        forms="{} Ltda.;{} S.A.",
        titles="Diretor de Operações;Gerente de Compras;Analista de Informações",
        departments="Compras;Operações",
        greeting="Ligar depois das 14h.",
    ),
    _locale(
        "vi-VN",
        "Vietnam",
        "84",
        "0",
        fixed="024 3825 ####;028 3822 ####",
        mobile="091 234 ####;098 765 ####",
        given="Anh,Bảo,Đức,Hạnh,Hương,Khánh,Mỹ Linh,Phượng,Tuấn,Yến",
        family="Nguyễn,Trần,Lê,Phạm,Hoàng,Huỳnh,Võ,Đặng,Bùi",
        cities="Hà Nội//10####;Thành phố Hồ Chí Minh//70####;Đà Nẵng//55####",
        streets="{n} Phố Huế;{n}/{m} Đường Nguyễn Huệ;Số {n} Lê Lợi",
        firms="Thăng Long,Hoàng Gia,Sao Việt,Đông Á",
        forms="Công ty TNHH {};Công ty Cổ phần {}",
        titles="Giám đốc kinh doanh;Trưởng phòng mua hàng;Kỹ sư",
        departments="Kinh doanh;Kế toán",
        greeting="Đề nghị gửi báo giá trước thứ Sáu.",
        family_first=True,
    ),
    _locale(
        "ru-RU",
        "Russia",
        "7",
        "8",
        fixed="8 (495) 123-##-##;8 (812) 345-##-##",
        mobile="8 (916) 123-##-##;8 (921) 456-##-##",
        given="Алексей:aleksey,Наталья:natalya,Сергей:sergey,Юлия:yulia,Дмитрий:dmitriy,Ольга:olga,Фёдор:fyodor,Ксения:ksenia,Игорь:igor,Жанна:zhanna",
        family="Иванов:ivanov,Щербаков:shcherbakov,Кузнецов:kuznetsov,Соловьёв:solovyov,Цветков:tsvetkov,Чайковский:chaikovsky,Йошкин:yoshkin,Эренбург:erenburg",
        cities="Москва//101###;Санкт-Петербург//190###;Екатеринбург/Свердловская область/620###",
        streets="ул. Тверская, д. {n};Невский проспект, {n}, кв. {m};ул. Щорса, {n}",
        firms="Северсталь-Сервис:severservis,Заря:zarya,Берёза:bereza,Южный Ветер:veter,Объединение:obed",
        forms="ООО «{}»;АО «{}»",
        titles="Генеральный директор;Начальник отдела закупок;Главный бухгалтер",
        departments="Закупки;Бухгалтерия",
        greeting="Просит прислать договор на согласование.",
    ),
    _locale(
        "uk-UA",
        "Ukraine",
        "380",
        "0",
        fixed="044 234 ## ##;032 297 ## ##",
        mobile="050 123 ## ##;067 456 ## ##",
        given="Олександр:oleksandr,Їжак:yizhak,Ганна:hanna,Євген:yevhen,Оксана:oksana,Тарас:taras,Соломія:solomiia",
        family="Шевченко:shevchenko,Ґудзь:gudz,Ковальчук:kovalchuk,Їжакевич:yizhakevych,Мельник:melnyk,Єфименко:yefymenko",
        cities="Київ//01###;Львів//79###;Запоріжжя//69###",
        streets="вул. Хрещатик, {n};просп. Свободи, {n}, кв. {m};пл. Ринок, {n}",
        firms="Карпати:karpaty,Дніпро:dnipro,Світанок:svitanok,Зоря:zoria",
        forms="ТОВ «{}»;ПрАТ «{}»",
        titles="Керівниця відділу продажів;Інженер;Заступник директора",
        departments="Продажі;Логістика",
        greeting="Домовились про зустріч наступного тижня.",
    ),
    _locale(
        "el-GR",
        "Greece",
        "30",
        "",
        fixed="21 0123 ####;231 045 ####",
        mobile="691 234 ####;697 890 ####",
        given="Γιώργος:giorgos,Ελένη:eleni,Νίκος:nikos,Δήμητρα:dimitra,Σοφία:sofia,Χρήστος:christos,Αθηνά:athina,Ηλίας:ilias",
        family="Παπαδόπουλος:papadopoulos,Γεωργίου:georgiou,Οικονόμου:oikonomou,Βλάχος:vlachos,Αγγελόπουλος:angelopoulos,Ψαράς:psaras",
        cities="Αθήνα//105 ##;Θεσσαλονίκη//546 ##;Πάτρα//262 ##",
        streets="Ερμού {n};Λεωφόρος Αλεξάνδρας {n};Οδός Αγίας Σοφίας {n}, {m}ος όροφος",
        firms="Αιγαίο:aigaio,Ήλιος:ilios,Ολυμπία:olympia,Φοίνιξ:foinix",
        forms="{} Α.Ε.;{} Ε.Π.Ε.",
        titles="Διευθύντρια πωλήσεων;Προϊστάμενος προμηθειών;Μηχανικός",
        departments="Προμήθειες;Λογιστήριο",
        greeting="Να σταλεί η νέα προσφορά.",
    ),
    _locale(
        "ar-AE",
        "United Arab Emirates",
        "971",
        "0",
        fixed="04 212 ####;02 612 ####",
        mobile="050 123 ####;055 456 ####",
        given="محمد:mohammed,فاطمة:fatima,أحمد:ahmad,عائشة:aisha,خالد:khalid,نورة:noura,يوسف:yousef,مريم:maryam",
        family="الهاشمي:alhashimi,النعيمي:alnuaimi,المنصوري:almansoori,الشامسي:alshamsi,بن راشد:binrashid,السويدي:alsuwaidi",
        cities="دبي//;أبو ظبي//;الشارقة//",
        streets="شارع الشيخ زايد، مبنى {n};شارع الكورنيش {n}، مكتب {m};ص.ب. {n}",
        firms="النخيل:nakheel,الخليج:khaleej,الواحة:waha,الفجر:fajr",
        forms="شركة {} ذ.م.م;مجموعة {}",
        titles="مدير المبيعات;رئيسة قسم المشتريات;مهندس",
        departments="المشتريات;المبيعات",
        greeting="يرجى الاتصال بعد الظهر.",
    ),
    _locale(
        "he-IL",
        "Israel",
        "972",
        "0",
        fixed="03-612-####;02-623-####",
        mobile="050-234-####;054-456-####",
        given="יעל:yael,דוד:david,נועה:noa,אברהם:avraham,תמר:tamar,איתן:eitan,שירה:shira",
        family="כהן:cohen,לוי:levi,מזרחי:mizrahi,פרץ:peretz,בן־דוד:bendavid,אזולאי:azoulay",
        cities="תל אביב–יפו//61#####;ירושלים//91#####;חיפה//31#####",
        streets="רחוב הרצל {n};שדרות רוטשילד {n}, דירה {m};דרך בגין {n}",
        firms="ארז:erez,כרמל:carmel,גליל:galil,שקד:shaked",
        forms='{} בע"מ;קבוצת {}',
        titles="מנהלת רכש;סמנכ״ל שיווק;מהנדס תוכנה",
        departments="רכש;שיווק",
        greeting="מבקשת לחזור אליה ביום ראשון.",
    ),
    _locale(
        "ja-JP",
        "Japan",
        "81",
        "0",
        fixed="03-3456-####;06-6345-####",
        mobile="090-1234-####;080-2345-####",
        given="翔太:shota,美咲:misaki,健一:kenichi,陽菜:hina,大輔:daisuke,さくら:sakura,一郎:ichiro,ユキ:yuki",
        family="佐藤:sato,鈴木:suzuki,髙橋:takahashi,田中:tanaka,渡邊:watanabe,伊藤:ito,小林:kobayashi,齋藤:saito",
        cities="千代田区/東京都/100-00##;大阪市北区/大阪府/530-00##;京都市中京区/京都府/604-00##",
        streets="丸の内{n}丁目{m}番1号;梅田{n}-{m}-3 スカイビル12階;河原町通{n}",
        firms="桜木:sakuragi,富士山:fujisan,大和:yamato,青空:aozora,東洋:toyo",
        forms="株式会社{};{}商事株式会社;有限会社{}",
        titles="営業部長;代表取締役社長;購買担当;システムエンジニア",
        departments="営業部;購買部;総務部",
        greeting="来週改めてお電話をいただきたいとのこと。",
        family_first=True,
    ),
    _locale(
        "zh-CN",
        "China",
        "86",
        "0",
        fixed="010-6512####;021-6234####",
        mobile="138 1234 ####;186 2345 ####",
        given="伟:wei,芳:fang,秀英:xiuying,强:qiang,静怡:jingyi,磊:lei,欣妍:xinyan,浩宇:haoyu",
        family="王:wang,李:li,张:zhang,刘:liu,陈:chen,欧阳:ouyang,司马:sima,吕:lv",
        cities="北京市/北京市/1000##;上海市/上海市/2000##;深圳市/广东省/5180##",
        streets="朝阳区建国路{n}号;浦东新区世纪大道{n}号{m}室;南山区科技园路{n}号",
        firms="华星:huaxing,长城:changcheng,龙腾:longteng,金桥:jinqiao",
        forms="{}有限公司;{}科技股份有限公司",
        titles="销售总监;采购经理;总经理助理",
        departments="采购部;销售部",
        greeting="希望下周安排视频会议。",
        family_first=True,
    ),
    _locale(
        "ko-KR",
        "South Korea",
        "82",
        "0",
        fixed="02-312-####;051-512-####",
        mobile="010-2345-####;010-8765-####",
        given="민준:minjun,서연:seoyeon,지훈:jihoon,하은:haeun,도윤:doyun,수빈:subin,영호:youngho",
        family="김:kim,이:lee,박:park,최:choi,정:jung,황보:hwangbo,남궁:namgung",
        cities="중구/서울특별시/045##;해운대구/부산광역시/480##;유성구/대전광역시/341##",
        streets="세종대로 {n};테헤란로{n}길 {m};센텀중앙로 {n}",
        firms="한빛:hanbit,대한:daehan,미래:mirae,백두:baekdu",
        forms="주식회사 {};{}(주)",
        titles="영업 이사;구매 담당;대리",
        departments="영업부;구매부",
        greeting="다음 주에 다시 연락하기로 함.",
        family_first=True,
    ),
    _locale(
        "th-TH",
        "Thailand",
        "66",
        "0",
        fixed="02 123 ####;053 212 ###",
        mobile="081 234 ####;089 876 ####",
        given="สมชาย:somchai,กัญญา:kanya,ณัฐวุฒิ:nattawut,พิมพ์ใจ:pimjai,อนุชา:anucha,วราภรณ์:waraporn",
        family="ศรีสุวรรณ:srisuwan,วงศ์ใหญ่:wongyai,แก้วมณี:kaewmanee,ทองดี:thongdee,ณ อยุธยา:naayutthaya",
        cities="กรุงเทพมหานคร/ปทุมวัน/10330;เชียงใหม่/เมือง/50200;ภูเก็ต/เมือง/83000",
        streets="{n}/{m} ถนนสุขุมวิท;{n} ถนนนิมมานเหมินท์;{n} ซอยอารีย์",
        firms="ช้างเผือก:changphueak,สยาม:siam,ดอกบัว:dokbua",
        forms="บริษัท {} จำกัด;ห้างหุ้นส่วน {}",
        titles="ผู้จัดการฝ่ายขาย;หัวหน้าฝ่ายจัดซื้อ;วิศวกร",
        departments="ฝ่ายขาย;ฝ่ายจัดซื้อ",
        greeting="ขอใบเสนอราคาใหม่",
    ),
    _locale(
        "hi-IN",
        "India",
        "91",
        "0",
        fixed="011 2345 ####;022 2345 ####",
        mobile="098765 4####;099100 1####",
        given="राहुल:rahul,प्रिया:priya,अर्जुन:arjun,लक्ष्मी:lakshmi,विक्रम:vikram,अनीता:anita,सुनीता:sunita",
        family="शर्मा:sharma,सिंह:singh,गुप्ता:gupta,अय्यर:iyer,मुखर्जी:mukherjee,चौधरी:chaudhary",
        cities="नई दिल्ली/दिल्ली/1100##;मुंबई/महाराष्ट्र/4000##;वाराणसी/उत्तर प्रदेश/2210##",
        streets="{n}, महात्मा गांधी मार्ग;मकान नं. {n}, सेक्टर {m};{n}, चाँदनी चौक",
        firms="गंगा:ganga,हिमालय:himalaya,सूर्योदय:suryoday,कमल:kamal",
        forms="{} प्राइवेट लिमिटेड;{} उद्योग",
        titles="बिक्री प्रबंधक;क्रय अधिकारी;वरिष्ठ अभियंता",
        departments="बिक्री;लेखा",
        greeting="कृपया सोमवार को फ़ोन करें।",
    ),
)
